#include "tools/benchmark_summary.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

namespace ropejit {
namespace {

BenchmarkCell cell(const std::string& group, double ratio_to_copy, std::int64_t tokens = 1) {
  BenchmarkCell made;
  made.group = group;
  made.workload.spec.head_dim = 64;
  made.workload.spec.q_heads = 2;
  made.workload.spec.kv_heads = 1;
  made.workload.tokens = tokens;
  made.gpu.us = 1;
  made.copy.us = ratio_to_copy;
  made.twin.us = 0.9;
  return made;
}

BenchmarkGroup group(double mean, double worst) {
  return {"a group", BenchmarkTarget{mean, worst}, {}};
}

}  // namespace

TEST_CASE("the geometric mean of a number and its inverse is 1") {
  CHECK(geometric_mean(std::array{4.0, 0.25}) == doctest::Approx(1));
  CHECK(geometric_mean(std::array{2.0, 4.0, 8.0}) == doctest::Approx(4));
  CHECK(geometric_mean({}) == 0);
}

TEST_CASE("a group's summary is that of its own cells, the slowest first") {
  const std::vector<BenchmarkCell> cells = {cell("a group", 0.9, 1), cell("other", 0.1, 2),
                                            cell("a group", 0.4, 3), cell("a group", 1.0, 4)};
  const GroupSummary summary = summarize(group(0.7, 0.5), cells);
  REQUIRE(summary.slowest_first.size() == 3);
  CHECK(summary.slowest_first[0].workload.tokens == 3);
  CHECK(summary.slowest_first[2].workload.tokens == 4);
  CHECK(summary.mean_to_copy == doctest::Approx(std::cbrt(0.36)));
  CHECK(summary.mean_to_twin == doctest::Approx(0.9));
  CHECK(summary.below_target == 1);
}

TEST_CASE("a target is reached by the mean and by every cell") {
  const std::vector<BenchmarkCell> cells = {cell("a group", 0.9), cell("a group", 1.0)};
  CHECK(summarize(group(0.94, 0.9), cells).reaches_target());
  CHECK_FALSE(summarize(group(0.96, 0.9), cells).reaches_target());
  CHECK_FALSE(summarize(group(0.94, 0.91), cells).reaches_target());
  CHECK(summarize({"a group", {}, {}}, cells).reaches_target());
}

TEST_CASE("the text has a line for each group that was measured, and its three slowest cells") {
  const std::vector<BenchmarkCell> cells = {cell("a group", 0.9, 1), cell("a group", 0.8, 2),
                                            cell("a group", 0.7, 3), cell("a group", 0.6, 4)};
  const std::vector<GroupSummary> summaries = {summarize(group(0.5, 0.65), cells),
                                               summarize({"empty", {}, {}}, cells)};
  const std::string text = summary_text(summaries);
  CHECK(text ==
        "speed relative to the fastest copy of the same bytes (geometric means)\n"
        "a group                 4 cells  mean 0.742 (of the twin 0.900)  slowest 0.600  target "
        "0.500, each 0.650: MISSED, 1 below\n"
        "    0.600  d64 r64 bfloat16 sequential q2 kv1 offset exact forward a16, 4 tokens\n"
        "    0.700  d64 r64 bfloat16 sequential q2 kv1 offset exact forward a16, 3 tokens\n"
        "    0.800  d64 r64 bfloat16 sequential q2 kv1 offset exact forward a16, 2 tokens\n");
}

}  // namespace ropejit
