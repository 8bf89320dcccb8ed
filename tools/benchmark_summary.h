#ifndef ROPEJIT_TOOLS_BENCHMARK_SUMMARY_H_
#define ROPEJIT_TOOLS_BENCHMARK_SUMMARY_H_

#include <span>
#include <string>
#include <vector>

#include "tools/benchmark.h"
#include "tools/benchmark_suite.h"

namespace ropejit {

/// The geometric mean of positive numbers; 0 of none.
double geometric_mean(std::span<const double> values);

/// What became of a group.
struct GroupSummary {
  std::string name;
  std::optional<BenchmarkTarget> target;
  double mean_to_copy = 0;  ///< geometric means of BenchmarkCell::ratio_to_copy() and _to_twin()
  double mean_to_twin = 0;
  std::vector<BenchmarkCell> slowest_first;  ///< by ratio_to_copy()
  std::size_t below_target = 0;              ///< cells that are slower than target.worst

  bool reaches_target() const;
};

/// Summarises the cells whose group has that name.
GroupSummary summarize(const BenchmarkGroup& group, std::span<const BenchmarkCell> cells);

/// A line per group and one for each of its slowest cells; groups without cells are left out.
std::string summary_text(std::span<const GroupSummary> summaries);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_BENCHMARK_SUMMARY_H_
