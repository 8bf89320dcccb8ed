#include "tools/tune_compare.h"

#include <doctest/doctest.h>

#include <string>

#include "src/source.h"
#include "src/token_bucket.h"

namespace ropejit {
namespace {

constexpr LaunchConfig kFirst{192, 16, Pairing::registers, 1};
constexpr LaunchConfig kSecond{256, 8, Pairing::exchange, 4};

SpecClass spec(int q_heads = 32) {
  RopeSpec of;
  of.head_dim = 128;
  of.q_heads = q_heads;
  of.kv_heads = 8;
  return spec_class(of);
}

TuningEntry entry(const SpecClass& of, std::int64_t tokens, const LaunchConfig& config) {
  return {of, tokens, {config, 2, 1.9, 2.1}, std::nullopt, 12};
}

TuningFile file(std::vector<TuningEntry> entries, int sm_count = 132) {
  TuningRun run;
  run.device_class = {9, 0, sm_count, 62914560};
  run.entries = std::move(entries);
  TuningFile made;
  made.runs.push_back(std::move(run));
  return made;
}

}  // namespace

TEST_CASE("a file agrees with itself in every bucket") {
  const TuningFile a = file({entry(spec(), 1, kFirst), entry(spec(64), 1024, kSecond)});
  const FileAgreement agreement = compare(a, a);
  CHECK(agreement.buckets() == 2 * kTokenBuckets);
  CHECK(agreement.same() == agreement.buckets());
  CHECK(describe(agreement) == "the same config in 44 of 44 buckets (100.0%) of 2 specs");
}

TEST_CASE("an entry decides for every bucket that it is the nearest of") {
  const TuningFile a =
      file({entry(spec(), 1, kFirst), entry(spec(), 16, kFirst), entry(spec(), 256, kFirst)});
  const TuningFile b =
      file({entry(spec(), 1, kFirst), entry(spec(), 16, kSecond), entry(spec(), 256, kFirst)});
  const FileAgreement agreement = compare(a, b);
  REQUIRE(agreement.specs.size() == 1);
  const std::vector<Disagreement>& differing = agreement.specs[0].differing;
  REQUIRE(differing.size() >= 3);  // 8, 16 and 32 tokens at least
  CHECK(agreement.same() == kTokenBuckets - differing.size());
  for (const Disagreement& bucket : differing) {
    CHECK(bucket.tokens >= 4);
    CHECK(bucket.tokens <= 64);
    CHECK(bucket.a == kFirst);
    CHECK(bucket.b == kSecond);
  }
  const std::string text = describe(agreement);
  CHECK(text.find("d128 r128 bfloat16 sequential q32 kv8 offset exact a16, up to 16 tokens: 192 "
                  "threads, 16 bytes, registers, 1 head against 256 threads, 8 bytes, exchange, 4 "
                  "heads\n") != std::string::npos);
}

TEST_CASE("configs that mean the same count as the same") {
  RopeSpec narrow = spec_of(spec());
  narrow.alignment = 8;
  LaunchConfig wide = kFirst;
  LaunchConfig effective = effective_config(kernel_specs(narrow).front(), wide);
  REQUIRE(wide != effective);
  const SpecClass of = spec_class(narrow);
  const FileAgreement agreement =
      compare(file({entry(of, 1, wide)}), file({entry(of, 1, effective)}));
  CHECK(agreement.same() == agreement.buckets());
}

TEST_CASE("what only one of the files knows is counted, not compared") {
  const TuningFile a = file({entry(spec(), 1, kFirst), entry(spec(64), 1, kFirst)});
  TuningFile b = file({entry(spec(), 1, kFirst)});
  b.runs.push_back(file({entry(spec(), 1, kSecond)}, 100).runs.front());
  const FileAgreement agreement = compare(a, b);
  CHECK(agreement.specs.size() == 1);
  CHECK(agreement.only_a == 1);
  CHECK(agreement.only_b == 1);
  CHECK(describe(agreement) ==
        "only in the first file: 1 specs; only in the second: 1\n"
        "the same config in 22 of 22 buckets (100.0%) of 1 spec");
  CHECK(describe(compare(a, {})) ==
        "only in the first file: 2 specs; only in the second: 0\n"
        "the same config in 0 of 0 buckets (100.0%) of 0 specs");
}

}  // namespace ropejit
