#include "tools/verify_check.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>

#include "ropejit/error.h"
#include "src/rounding.h"
#include "tools/case_positions.h"
#include "tools/verify.h"

namespace ropejit {
namespace {

VerifyCase small_case(Dtype dtype = Dtype::float32) {
  VerifyCase test;
  test.spec.head_dim = 12;
  test.spec.rotary_dim = 8;
  test.spec.dtype = dtype;
  test.spec.q_heads = 3;
  test.spec.kv_heads = 2;
  test.frequencies = default_frequencies(8, 10000.0L);
  test.batch = 2;
  test.seq = 5;
  test.in = test.out = Placement::padded;
  test.padding = 4;
  set_positions(test, 131071);
  return test;
}

/// A case with a right result, and what the check says after `damage` was done to it.
struct Trial {
  explicit Trial(const VerifyCase& of) : test(of), before(make_memory(of)), after(before) {
    ReferenceExecutor().execute(test, args_of(test, after), after.blocks);
  }

  /// Element d of a row of the output, or of the input.
  std::byte* element(const PlacedTensor& tensor, std::int64_t b, std::int64_t s, int head, int d) {
    const BlockAddress at = element_address(test, tensor, b, s, head, d);
    return after.blocks[at.block].data() + at.byte;
  }
  std::string problem() const { return check_outputs(test, before, after).problem; }

  VerifyCase test;
  CaseMemory before;
  CaseMemory after;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void flip_a_bit(std::byte* at) { *at ^= std::byte{1}; }

float read_float(const std::byte* at) {
  float value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

void write_float(std::byte* at, float value) { std::memcpy(at, &value, sizeof value); }

TEST_CASE("a right result passes, with an error far below its bound") {
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    const Trial trial(small_case(dtype));
    const Check check = check_outputs(trial.test, trial.before, trial.after);
    CHECK(check.problem == "");
    CHECK(check.worst_fraction < 0.2);  // the reference rounds once
  }
}

TEST_CASE("a call that did nothing fails") {
  const Trial trial(small_case());
  CHECK(check_outputs(trial.test, trial.before, trial.before).problem != "");
}

TEST_CASE("float32 passes up to 4e-7 of the pair's norm and fails just beyond") {
  Trial trial(small_case());
  std::byte* x_at = trial.element(*trial.after.q_out, 1, 3, 2, 1);
  const std::byte* y_at = trial.element(*trial.after.q_out, 1, 3, 2, 5);
  const float right = read_float(x_at);
  const double norm = std::hypot(double{right}, double{read_float(y_at)});
  REQUIRE(norm > 0.1);
  write_float(x_at, static_cast<float>(right + 3.8e-7 * norm));
  CHECK(trial.problem() == "");
  write_float(x_at, static_cast<float>(right + 4.2e-7 * norm));
  CHECK(contains(trial.problem(), "q_out[1, 3, 2, 1]"));
  CHECK(contains(trial.problem(), "times its bound"));
}

TEST_CASE("a 16-bit result that is one unit in the last place off fails") {
  for (const Dtype dtype : {Dtype::float16, Dtype::bfloat16}) {
    Trial trial(small_case(dtype));
    std::byte* at = trial.element(*trial.after.k_out, 0, 4, 1, 0);
    REQUIRE(std::fabs(load_element(dtype, at)) > 0.01);
    flip_a_bit(at);
    CHECK(contains(trial.problem(), "k_out[0, 4, 1, 0]"));
  }
}

TEST_CASE("the bound is half a unit in the last place plus 2e-6 of the norm for 16-bit types") {
  CHECK(error_bound(Dtype::float32, 1.0, 2.0).total() == 8e-7);
  CHECK(error_bound(Dtype::float16, 1.0, 2.0).total() == 0x1p-11 + 4e-6);
  CHECK(error_bound(Dtype::float16, 1.99, 2.0).total() == 0x1p-11 + 4e-6);
  CHECK(error_bound(Dtype::float16, 2.0, 2.0).total() == 0x1p-10 + 4e-6);
  CHECK(error_bound(Dtype::float16, 0.0, 0.0).total() == 0x1p-25);
  CHECK(error_bound(Dtype::bfloat16, -1.0, 1.5).total() == 0x1p-8 + 3e-6);
}

TEST_CASE("the two components of a pair swapped fail") {
  Trial trial(small_case());
  std::byte* x = trial.element(*trial.after.q_out, 0, 2, 0, 2);
  std::byte* y = trial.element(*trial.after.q_out, 0, 2, 0, 6);
  const float old = read_float(x);
  write_float(x, read_float(y));
  write_float(y, old);
  CHECK(contains(trial.problem(), "q_out[0, 2, 0, 2]"));
}

TEST_CASE("a bit of the part that passes through fails") {
  Trial trial(small_case(Dtype::bfloat16));
  flip_a_bit(trial.element(*trial.after.q_out, 1, 0, 1, 11));
  CHECK(contains(trial.problem(), "q_out[1, 0, 1, 11]"));
  CHECK(contains(trial.problem(), "passes through"));
}

TEST_CASE("a byte before, behind or between the rows of an output fails") {
  for (const int d : {-1, 12, 15}) {  // padding: elements 12 to 15
    Trial trial(small_case());
    flip_a_bit(trial.element(*trial.after.q_out, 0, 0, 0, d));
    CHECK(contains(trial.problem(), "q_out: byte"));
  }
  Trial trial(small_case());
  flip_a_bit(trial.element(*trial.after.k_out, 1, 4, 1, 12));
  CHECK(contains(trial.problem(), "k_out: byte"));
}

TEST_CASE("an input touched out of place fails") {
  Trial trial(small_case());
  flip_a_bit(trial.element(*trial.after.q, 1, 1, 1, 3));
  CHECK(contains(trial.problem(), "q: byte"));
}

TEST_CASE("touched positions, cu_seqlens and tables fail") {
  VerifyCase test = small_case();
  test.spec.positions = PositionMode::ragged;
  test.spec.angles = AngleSource::table;
  set_positions(test, 1);
  for (const auto& [name, member] : {std::pair{"positions", &CaseMemory::positions},
                                     {"cu_seqlens", &CaseMemory::cu_seqlens},
                                     {"cos", &CaseMemory::cos},
                                     {"sin", &CaseMemory::sin}}) {
    Trial trial(test);
    CHECK(trial.problem() == "");
    const BlockAddress at = *(trial.after.*member);
    flip_a_bit(trial.after.blocks[at.block].data() + at.byte);
    CHECK(contains(trial.problem(), std::string(name) + ": byte"));
  }
}

TEST_CASE("a token of no sequence must stay as it was") {
  VerifyCase test = small_case();
  test.spec.positions = PositionMode::ragged;
  set_positions(test, 2047);
  REQUIRE(test.cu_seqlens.front() == 1);
  Trial trial(test);
  CHECK(trial.problem() == "");
  write_float(trial.element(*trial.after.q_out, 0, 0, 0, 0), 1.0f);
  CHECK(contains(trial.problem(), "q_out: byte"));
}

TEST_CASE("a pair is NaN where its table row is out of range, and nowhere else") {
  VerifyCase test = small_case(Dtype::float16);
  test.spec.angles = AngleSource::table;
  set_positions(test, -1);  // token 0 sits before the table, the last one behind it
  Trial trial(test);
  CHECK(trial.problem() == "");
  store_element(Dtype::float16, trial.element(*trial.after.q_out, 0, 0, 0, 0), 1.0);
  CHECK(contains(trial.problem(), "q_out[0, 0, 0, 0] = 1: exact is nan"));

  Trial other(test);
  store_element(Dtype::float16, other.element(*other.after.q_out, 0, 1, 0, 0), std::nan(""));
  CHECK(contains(other.problem(), "q_out[0, 1, 0, 0] = nan"));
}

TEST_CASE("an infinity spoils its own pair, and only that") {
  Trial trial(small_case());
  const float infinity = std::numeric_limits<float>::infinity();
  write_float(trial.element(*trial.after.q_out, 0, 1, 0, 0), infinity);
  CHECK(contains(trial.problem(), "q_out[0, 1, 0, 0] = inf"));

  VerifyCase special = small_case();
  special.special_values = true;
  Trial spoilt(special);
  CHECK(spoilt.problem() == "");
  int infinities = 0;
  for (const CaseToken& token : tokens_of(special)) {
    for (int d = 0; d < 8; ++d) {
      const auto& [batch, seq, position] = token;
      infinities += !std::isfinite(read_float(spoilt.element(*spoilt.before.q, batch, seq, 0, d)));
    }
  }
  CHECK(infinities > 0);
}

TEST_CASE("one bit of difference between two outputs is found, whatever their placement") {
  VerifyCase other = small_case();
  other.in_place = true;
  Trial one(small_case()), two(other);
  CHECK(compare_outputs(one.test, one.after, two.test, two.after) == "");
  flip_a_bit(two.element(*two.after.k_out, 1, 4, 1, 11));
  CHECK(compare_outputs(one.test, one.after, two.test, two.after) ==
        "k_out[1, 4, 1]: not the same bits");
}

/// The reference, and then something else.
class Spoiler : public Executor {
 public:
  explicit Spoiler(std::function<void(const RopeArgs&)> damage) : damage_(std::move(damage)) {}
  void execute(const VerifyCase& test, const RopeArgs& args, std::span<Block> blocks) override {
    ReferenceExecutor().execute(test, args, blocks);
    damage_(args);
  }
  std::vector<LaunchConfig> configs(const RopeSpec& /*spec*/) override { return {}; }

 private:
  std::function<void(const RopeArgs&)> damage_;
};

TEST_CASE("in place and out of place must give the same bits") {
  VerifyCase test = small_case();
  test.in_place = true;
  Spoiler none([](const RopeArgs&) {});
  CHECK(run_case(test, none).passed);
  // One unit in the last place: within the bound, but not the same bits.
  Spoiler spoiler([](const RopeArgs& args) {
    if (args.q.data == args.q_out.data) return;
    auto* first = static_cast<std::byte*>(args.q_out.data);
    write_float(first, std::nextafter(read_float(first), 10.0f));
  });
  const CaseResult result = run_case(test, spoiler);
  CHECK_FALSE(result.passed);
  CHECK(result.message == "q_out[0, 0, 0]: not the same bits as out of place");
}

TEST_CASE("a driver's error fails the case; a missing compiler ends the run") {
  Spoiler fault([](const RopeArgs&) { throw Error(ErrorCode::driver, "misaligned address"); });
  const CaseResult result = run_case(small_case(), fault);
  CHECK_FALSE(result.passed);
  CHECK(result.message == "misaligned address");
  Spoiler none([](const RopeArgs&) { throw Error(ErrorCode::unsupported, "no compiler"); });
  CHECK_THROWS_AS(run_case(small_case(), none), Error);
}

TEST_CASE("verify counts what passed and what failed, and tells of every case") {
  RopeSpec spec = small_case().spec;
  const SpecFile file{spec, default_frequencies(8, 10000.0L)};
  ReferenceExecutor reference;
  int told = 0;
  const VerifyReport good = verify(
      std::span(&file, 1), reference,
      [&](const RopeSpec& of, const CaseResult& result) { told += of == spec && result.passed; });
  CHECK(good.passed == 19);
  CHECK(good.failed == 0);
  CHECK(told == 19);
  Spoiler spoiler([](const RopeArgs& args) {
    if (args.seq > 1 && args.k_out.data != nullptr)
      write_float(static_cast<std::byte*>(args.k_out.data), 1e30f);
  });
  const VerifyReport bad = verify(std::span(&file, 1), spoiler);
  CHECK(bad.failed == 15);  // all but no token, one token (twice) and q alone
  CHECK(bad.passed == 4);
}

}  // namespace
}  // namespace ropejit
