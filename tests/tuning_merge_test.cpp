#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "src/tuning_file.h"
#include "tests/tuning_fixture.h"

namespace ropejit {
namespace {

constexpr LaunchConfig kA{64, 16, Pairing::registers, 1, false};
constexpr LaunchConfig kB{256, 16, Pairing::registers, 1, false};

/// A file with one entry, measured with an interval of ± `half` µs.
TuningFile single(const LaunchConfig& config, double us, double half, int samples = 31,
                  const std::string& date = "2026-01-31T12:00:00Z") {
  TuningEntry only = entry(llama_spec(), 8192, config);
  only.chosen = measured(config, us, half);
  only.samples = samples;
  return file_of({run_on(kBig, {only}, date)});
}

/// The config that survives.
LaunchConfig winner(const TuningFile& a, const TuningFile& b) {
  const TuningFile merged = merge(a, b);
  REQUIRE(merged.runs.size() == 1);
  REQUIRE(merged.runs[0].entries.size() == 1);
  return merged.runs[0].entries[0].chosen.config;
}

}  // namespace

TEST_CASE("of two entries with one key the one with the narrower interval stays") {
  CHECK(winner(single(kA, 10, 0.2), single(kB, 11, 0.1)) == kB);
  CHECK(winner(single(kA, 10, 0.1), single(kB, 9, 0.2, 1000, "2027-01-31T12:00:00Z")) == kA);
}

TEST_CASE("an interval is narrow in proportion to the time") {
  CHECK(winner(single(kA, 1, 0.1), single(kB, 100, 0.2)) == kB);
  CHECK(winner(single(kB, 100, 0.2), single(kA, 1, 0.1)) == kB);
}

TEST_CASE("of equal intervals the one of more samples stays, then the newer, then the first") {
  CHECK(winner(single(kA, 10, 0.1, 31), single(kB, 10, 0.1, 32)) == kB);
  CHECK(winner(single(kA, 10, 0.1, 32), single(kB, 10, 0.1, 31, "2027-01-31T12:00:00Z")) == kA);
  CHECK(winner(single(kA, 10, 0.1), single(kB, 10, 0.1, 31, "2026-01-31T12:00:01Z")) == kB);
  CHECK(winner(single(kA, 10, 0.1, 31, "2026-01-31T12:00:01Z"), single(kB, 10, 0.1)) == kA);
  CHECK(winner(single(kA, 10, 0.1), single(kB, 10, 0.1)) == kA);
}

TEST_CASE("entries that differ in device class, spec class or token count are all kept") {
  RopeSpec other = llama_spec();
  other.kv_heads = 4;
  const TuningFile a = file_of({run_on(kBig, {entry(llama_spec(), 1, kA)})});
  for (const TuningFile& b : {file_of({run_on(kSmall, {entry(llama_spec(), 1, kB)})}),
                              file_of({run_on(kBig, {entry(other, 1, kB)})}),
                              file_of({run_on(kBig, {entry(llama_spec(), 2, kB)})})}) {
    std::size_t entries = 0;
    for (const TuningRun& run : merge(a, b).runs) entries += run.entries.size();
    CHECK(entries == 2);
    CHECK(parse_tuning_file(to_json(merge(a, b)), "merged").runs.size() == merge(a, b).runs.size());
  }
}

TEST_CASE("runs keep their provenance, and one without entries goes") {
  const TuningFile old = file_of({run_on(
      kBig, {entry(llama_spec(), 1, kA), entry(llama_spec(), 2, kA)}, "2026-01-01T00:00:00Z")});
  TuningFile recent = file_of({run_on(kBig, {entry(llama_spec(), 2, kB)}, "2026-02-01T00:00:00Z")});
  const TuningFile merged = merge(old, recent);
  REQUIRE(merged.runs.size() == 2);
  CHECK(merged.runs[0].provenance == old.runs[0].provenance);
  CHECK(merged.runs[0].entries == std::vector{old.runs[0].entries[0]});
  CHECK(merged.runs[1] == recent.runs[0]);

  recent.runs[0].entries.push_back(entry(llama_spec(), 1, kB));
  CHECK(merge(old, recent).runs == recent.runs);
}

TEST_CASE("a device keeps its names when all that was measured on it goes") {
  TuningFile old = single(kA, 10, 0.2), recent = single(kB, 10, 0.1);
  old.runs[0].aliases = {"Old name", "Name"};
  recent.runs[0].aliases = {"Name", "New name"};
  recent.runs[0].provenance.device = "New name";
  const TuningFile merged = merge(old, recent);
  REQUIRE(merged.runs.size() == 1);
  CHECK(merged.runs[0].aliases == std::vector<std::string>{"Name", "New name", "Old name"});
  CHECK(merged.runs[0].provenance == recent.runs[0].provenance);
}

TEST_CASE("a run that is in both files is in the result once, by all its names") {
  TuningFile b = varied_file();
  b.runs[0].aliases.push_back("H200");
  const TuningFile merged = merge(varied_file(), b);
  CHECK(merged.runs.size() == varied_file().runs.size());
  CHECK(merged.runs[0].entries == varied_file().runs[0].entries);
  CHECK(merged.runs[0].aliases == b.runs[0].aliases);
  const TuningFile one = varied_file();
  CHECK(merge(one, one) == one);
  CHECK(merge(varied_file(), {}) == varied_file());
  CHECK(merge({}, varied_file()) == varied_file());
}

}  // namespace ropejit
