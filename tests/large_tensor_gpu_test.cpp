#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "ropejit/reference.h"
#include "src/rounding.h"
#include "tests/gpu_fixture.h"
#include "tools/verify_check.h"

// Tensors of more than 2^31 elements, and of more than 2^31 rows.
namespace ropejit {
namespace {

constexpr std::int64_t kBlockElements = std::int64_t{1} << 25;
constexpr std::int64_t kElementBytes = 2;  // bfloat16

/// What all of the input repeats.
const std::vector<std::uint16_t>& input_block() {
  static const std::vector<std::uint16_t> block = [] {
    std::vector<std::uint16_t> values(kBlockElements);
    std::uint32_t state = 1;
    for (std::uint16_t& value : values) {
      state = state * 1664525u + 1013904223u;
      store_element(Dtype::bfloat16, &value, (static_cast<double>(state >> 8) - 0x1p23) * 0x1p-22);
    }
    return values;
  }();
  return block;
}

void fill(const Device& device, void* data, std::int64_t elements) {
  auto* bytes = static_cast<char*>(data);
  const std::int64_t total = elements * kElementBytes;
  std::int64_t done = std::min(total, kBlockElements * kElementBytes);
  device.copy_to_device(bytes, input_block().data(), static_cast<std::size_t>(done));
  device.synchronize();
  while (done < total) {
    const std::int64_t next = std::min(done, total - done);
    device.copy_async(bytes + done, bytes, static_cast<std::size_t>(next), nullptr);
    done += next;
  }
  device.synchronize();
}

struct LargeCall {
  RopeSpec spec;
  Frequencies frequencies;
  std::int64_t batch, seq, offset;

  std::int64_t tokens() const { return batch * seq; }
  std::int64_t token_elements() const { return std::int64_t{spec.q_heads} * spec.head_dim; }
  std::int64_t elements() const { return tokens() * token_elements(); }
};

void run(const LargeCall& call, void* in, void* out) {
  RopeArgs args;
  args.q = dense_bshd(in, call.seq, call.spec.q_heads, call.spec.head_dim);
  args.q_out = dense_bshd(out, call.seq, call.spec.q_heads, call.spec.head_dim);
  args.batch = call.batch;
  args.seq = call.seq;
  args.offset = call.offset;
  gpu().runtime.rope(call.spec, call.frequencies, 0).apply(args);
  gpu().device().synchronize();
}

/// The largest error of a token, as a fraction of its bound.
double worst_fraction(const LargeCall& call, const void* out, std::int64_t token) {
  const std::int64_t first = token * call.token_elements();
  std::vector<std::uint16_t> result(static_cast<std::size_t>(call.token_elements()));
  gpu().device().copy_to_host(result.data(), static_cast<const char*>(out) + first * kElementBytes,
                              result.size() * sizeof(result[0]));
  const auto input = [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>((first + i) % kBlockElements);
    return load_element(Dtype::bfloat16, &input_block()[at]);
  };
  const std::int64_t half = call.spec.head_dim / 2, position = call.offset + token % call.seq;
  double worst = 0;
  for (std::int64_t row = 0; row < call.token_elements(); row += call.spec.head_dim) {
    for (std::int64_t i = 0; i < half; ++i) {
      const CosSin angle =
          exact_cos_sin(call.frequencies.turns[static_cast<std::size_t>(i)], position);
      const double x = input(row + i), y = input(row + i + half);
      const auto check = [&](std::int64_t at, double exact) {
        const double got =
            load_element(Dtype::bfloat16, &result[static_cast<std::size_t>(row + at)]);
        const double bound = error_bound(Dtype::bfloat16, exact, std::hypot(x, y)).total();
        worst = std::max(worst, std::fabs(got - exact) / bound);
      };
      check(i, x * angle.cos - y * angle.sin);
      check(i + half, y * angle.cos + x * angle.sin);
    }
  }
  return worst;
}

/// The first and the last token, those around 2^30 and 2^31 elements and rows and around the bounds
/// of sequences, and many between.
std::set<std::int64_t> sample(const LargeCall& call) {
  std::set<std::int64_t> tokens;
  const auto add_around = [&](std::int64_t token) {
    for (std::int64_t t = token - 2; t <= token + 2; ++t) {
      if (t >= 0 && t < call.tokens()) tokens.insert(t);
    }
  };
  for (const std::int64_t power : {std::int64_t{1} << 30, std::int64_t{1} << 31}) {
    add_around(power);
    add_around(power / call.token_elements());
  }
  for (std::int64_t b = 0; b <= call.batch; ++b) add_around(b * call.seq);
  for (std::int64_t i = 0; i < 500; ++i) add_around(call.tokens() / 500 * i);
  return tokens;
}

void check_sample(const LargeCall& call, const void* out) {
  for (const std::int64_t token : sample(call)) {
    CAPTURE(token);
    const double fraction = worst_fraction(call, out, token);
    if (fraction > 1) FAIL_CHECK("error " << fraction << " times its bound");
  }
}

bool has_memory(std::int64_t bytes) {
  if (gpu().device().info().memory_bytes > bytes + (std::int64_t{2} << 30)) return true;
  MESSAGE("not run: the device has too little memory");
  return false;
}

TEST_CASE("tensors of more than 2^31 elements are right to the last row, in place and not") {
  LargeCall call{{}, default_frequencies(128, 500000.0L), 1, (1 << 19) + 5, 1000};
  call.spec.head_dim = 128;
  call.spec.q_heads = 32;
  call.spec.kv_heads = 8;
  const std::int64_t bytes = call.elements() * kElementBytes;
  REQUIRE(call.elements() > std::int64_t{1} << 31);
  if (!has_memory(2 * bytes)) return;
  const DeviceBuffer in = gpu().device().allocate(static_cast<std::size_t>(bytes));
  const DeviceBuffer out = gpu().device().allocate(static_cast<std::size_t>(bytes));
  fill(gpu().device(), in.data(), call.elements());
  run(call, in.data(), out.data());
  check_sample(call, out.data());
  run(call, in.data(), in.data());
  check_sample(call, in.data());
}

TEST_CASE("tensors of more than 2^31 rows are right to the last row") {
  LargeCall call{{}, default_frequencies(2, 10000.0L), 3, 715827885, -1000000};
  call.spec.head_dim = 2;
  call.spec.q_heads = 1;
  call.spec.kv_heads = 1;
  REQUIRE(call.tokens() > std::int64_t{1} << 31);
  const std::int64_t bytes = call.elements() * kElementBytes;
  if (!has_memory(bytes)) return;
  const DeviceBuffer data = gpu().device().allocate(static_cast<std::size_t>(bytes));
  fill(gpu().device(), data.data(), call.elements());
  run(call, data.data(), data.data());
  check_sample(call, data.data());
}

}  // namespace
}  // namespace ropejit
