// Heads whose elements lie apart: which calls are refused, and what the kernel matrix does not
// reach: elements that an input repeats, and heads that reach farther than 31 bits.

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ropejit/reference.h"
#include "src/launch.h"
#include "src/rounding.h"
#include "tests/refusal.h"
#include "tools/case_positions.h"
#include "tools/verify_executor.h"

namespace ropejit {
namespace {

constexpr int kHeadDim = 6, kRotaryDim = 4, kSeq = 3;

VerifyCase one_head(Layout layout, Dtype dtype) {
  VerifyCase test;
  test.spec.head_dim = kHeadDim;
  test.spec.rotary_dim = kRotaryDim;
  test.spec.layout = layout;
  test.spec.dtype = dtype;
  test.spec.q_heads = test.spec.kv_heads = 1;
  test.frequencies = default_frequencies(kRotaryDim, 10000.0L);
  test.seq = kSeq;
  set_positions(test, 5);
  return test;
}

/// Element d of a token, rotated in double precision and rounded once; `x` has the token's
/// elements.
double rotated(const VerifyCase& test, const std::vector<double>& x, std::int64_t token, int d) {
  if (d >= kRotaryDim) return x[static_cast<std::size_t>(d)];
  const bool interleaved = test.spec.layout == Layout::interleaved;
  const int pair = interleaved ? d / 2 : d % (kRotaryDim / 2);
  const auto a = static_cast<std::size_t>(interleaved ? 2 * pair : pair);
  const std::size_t b = interleaved ? a + 1 : a + kRotaryDim / 2;
  const CosSin angle =
      exact_cos_sin(test.frequencies.turns[static_cast<std::size_t>(pair)], 5 + token);
  return static_cast<std::size_t>(d) == a ? x[a] * angle.cos - x[b] * angle.sin
                                          : x[b] * angle.cos + x[a] * angle.sin;
}

/// Both executors that need no GPU: the kernel and the CPU implementation.
void with_each_executor(const auto& call) {
  HostExecutor kernel;
  ReferenceExecutor reference;
  for (Executor* executor : {static_cast<Executor*>(&kernel), static_cast<Executor*>(&reference)}) {
    for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
      for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
        const VerifyCase test = one_head(layout, dtype);
        CAPTURE(describe(test.spec));
        CAPTURE(executor == &reference);
        call(test, *executor);
      }
    }
  }
}

/// Memory that takes none until it is touched.
class SparseMemory {
 public:
  explicit SparseMemory(std::size_t bytes)
      : bytes_(bytes),
        data_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    REQUIRE(data_ != MAP_FAILED);
  }
  SparseMemory(const SparseMemory&) = delete;
  SparseMemory& operator=(const SparseMemory&) = delete;
  ~SparseMemory() { ::munmap(data_, bytes_); }
  char* data() const { return static_cast<char*>(data_); }

 private:
  std::size_t bytes_;
  void* data_;
};

/// An address that nothing may read or write.
void* at(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

/// What check_args says of dense q and k, out of place, after a change.
std::string verdict(const std::function<void(RopeArgs&)>& change) {
  RopeSpec spec;
  spec.head_dim = 64;
  spec.q_heads = 4;
  spec.kv_heads = 2;
  RopeArgs args;
  args.batch = 2;
  args.seq = 8;
  args.q = dense_bshd(at(0x100000), 8, 4, 64);
  args.q_out = dense_bshd(at(0x200000), 8, 4, 64);
  args.k = dense_bshd(at(0x300000), 8, 2, 64);
  args.k_out = dense_bshd(at(0x400000), 8, 2, 64);
  change(args);
  return refusal([&] { check_args(spec, args); });
}

}  // namespace

TEST_CASE("the last dimension may have any stride, of each tensor its own") {
  CHECK(verdict([](RopeArgs& a) {
          a.q.stride_dim = 0;
          a.q_out = {at(0x200000), 8 * 512, 512, 128, 2};
          a.k.stride_dim = -1;
          a.k_out = {at(0x400000), 8 * 128, 128, 1, 2};  // [batch, seq, head_dim, heads]
        }) == "accepted");
  CHECK(verdict([](RopeArgs& a) {
          a.q.stride_dim = -1;
          a.q_out = a.q;
          a.k_out = a.k = {at(0x300000), 2 * 8 * 64, 1, 8 * 64, 8};  // head_dim, then seq
        }) == "accepted");
}

TEST_CASE("an output whose elements share memory is refused") {
  CHECK(verdict([](RopeArgs& a) { a.q_out.stride_dim = 0; }) ==
        "invalid_argument: q_out: its strides (batch 2048, seq 256, head 64, dim 0) make elements "
        "share memory");
  CHECK(verdict([](RopeArgs& a) {
          a.k_out.stride_dim = 2;
        }).starts_with("invalid_argument: k_out: "));
  CHECK(verdict([](RopeArgs& a) {
          a.k_out = {at(0x400000), 8 * 128, 128, 1, -1};
        }).starts_with("invalid_argument: k_out: "));
}

TEST_CASE("the same data with another stride of the last dimension is not in place") {
  const auto in_place = [](std::int64_t in, std::int64_t out) {
    return verdict([=](RopeArgs& a) {
      a.q = {at(0x100000), 8 * 512, 512, 128, in};
      a.q_out = {at(0x100000), 8 * 512, 512, 128, out};
    });
  };
  CHECK(in_place(2, 2) == "accepted");
  CHECK(in_place(1, 2).starts_with("invalid_argument: q_out.data = 0x100000: overlaps q "));
  CHECK(in_place(0, 1).starts_with("invalid_argument: q_out.data = 0x100000: overlaps q "));
}

TEST_CASE("the even and the odd elements of one buffer are disjoint") {
  const auto interleaved = [](std::uintptr_t k) {
    return verdict([=](RopeArgs& a) {
      a.q = a.q_out = {at(0x100000), 8 * 512, 512, 128, 2};
      a.k = a.k_out = {at(k), 8 * 512, 512, 128, 2};
    });
  };
  CHECK(interleaved(0x100002) == "accepted");
  CHECK(interleaved(0x100004).starts_with("invalid_argument: q_out.data = 0x100000: overlaps k "));
}

TEST_CASE("an input may repeat one element for a whole head") {
  with_each_executor([](const VerifyCase& test, Executor& executor) {
    const Dtype dtype = test.spec.dtype;
    std::vector<float> in(kSeq), out(std::size_t{kSeq} * kHeadDim);
    const std::vector<double> numbers = {1.5, -0.75, 3.0};
    const std::size_t element = size_of(dtype);
    for (std::size_t s = 0; s < kSeq; ++s) {
      store_element(dtype, reinterpret_cast<char*>(in.data()) + s * element, numbers[s]);
    }
    RopeArgs args;
    args.seq = kSeq;
    args.offset = 5;
    args.q = {in.data(), 0, 1, 0, 0};
    args.q_out = dense_bshd(out.data(), kSeq, 1, kHeadDim);
    executor.execute(test, args, {});
    for (std::size_t s = 0; s < kSeq; ++s) {
      const std::vector<double> x(kHeadDim, numbers[s]);
      for (int d = 0; d < kHeadDim; ++d) {
        const std::size_t at = s * kHeadDim + static_cast<std::size_t>(d);
        const double result =
            load_element(dtype, reinterpret_cast<const char*>(out.data()) + at * element);
        const double tolerance = dtype == Dtype::float32 ? 2e-6 : 2e-2;
        CHECK(std::fabs(result - rotated(test, x, static_cast<std::int64_t>(s), d)) < tolerance);
      }
    }
  });
}

TEST_CASE("a head may reach farther than 31 bits, either way") {
  // One fits into 31 bits, the second already does not.
  constexpr std::int64_t kStride = 1'100'000'001;
  with_each_executor([](const VerifyCase& test, Executor& executor) {
    const Dtype dtype = test.spec.dtype;
    const auto element = static_cast<std::int64_t>(size_of(dtype));
    for (const std::int64_t stride : {kStride, -kStride}) {
      const std::int64_t span = (kStride * (kHeadDim - 1) + kSeq) * element;
      const SparseMemory memory(static_cast<std::size_t>(span));
      char* first = memory.data() + (stride < 0 ? -stride * (kHeadDim - 1) * element : 0);
      const auto at = [&](std::int64_t s, int d) { return first + (s + d * stride) * element; };
      std::vector<std::vector<double>> x(kSeq, std::vector<double>(kHeadDim));
      for (std::int64_t s = 0; s < kSeq; ++s) {
        for (int d = 0; d < kHeadDim; ++d) {
          const double number = 0.25 * static_cast<double>(1 + s) * (d - 2.5);
          x[static_cast<std::size_t>(s)][static_cast<std::size_t>(d)] = number;
          store_element(dtype, at(s, d), number);
        }
      }
      RopeArgs args;
      args.seq = kSeq;
      args.offset = 5;
      args.q = args.q_out = {first, 0, 1, 0, stride};
      executor.execute(test, args, {});
      for (std::int64_t s = 0; s < kSeq; ++s) {
        for (int d = 0; d < kHeadDim; ++d) {
          const double exact = rotated(test, x[static_cast<std::size_t>(s)], s, d);
          const double tolerance = dtype == Dtype::float32 ? 2e-6 : 2e-2;
          CHECK(std::fabs(load_element(dtype, at(s, d)) - exact) < tolerance);
        }
      }
    }
  });
}

}  // namespace ropejit
