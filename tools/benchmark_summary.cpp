#include "tools/benchmark_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>

namespace ropejit {
namespace {

constexpr std::size_t kShownCells = 3;

double mean_of(std::span<const BenchmarkCell> cells,
               const std::function<double(const BenchmarkCell&)>& value) {
  std::vector<double> values;
  for (const BenchmarkCell& cell : cells) values.push_back(value(cell));
  return geometric_mean(values);
}

std::string target_text(const GroupSummary& summary) {
  if (!summary.target) return {};
  return fmt::format("  target {:.3f}, each {:.3f}{}: {}, {} below", summary.target->mean,
                     summary.target->worst, summary.target->of_twin ? " of the twin" : "",
                     summary.reaches_target() ? "reached" : "MISSED", summary.below_target);
}

}  // namespace

double geometric_mean(std::span<const double> values) {
  if (values.empty()) return 0;
  double logarithms = 0;
  for (const double value : values) logarithms += std::log(value);
  return std::exp(logarithms / static_cast<double>(values.size()));
}

bool GroupSummary::reaches_target() const {
  if (!target) return true;
  return (target->of_twin ? mean_to_twin : mean_to_copy) >= target->mean && below_target == 0;
}

GroupSummary summarize(const BenchmarkGroup& group, std::span<const BenchmarkCell> cells) {
  GroupSummary summary;
  summary.name = group.name;
  summary.target = group.target;
  std::vector<BenchmarkCell>& own = summary.slowest_first;
  std::copy_if(cells.begin(), cells.end(), std::back_inserter(own),
               [&](const BenchmarkCell& cell) { return cell.group == group.name; });
  std::stable_sort(own.begin(), own.end(), [](const BenchmarkCell& a, const BenchmarkCell& b) {
    return a.ratio_to_copy() < b.ratio_to_copy();
  });
  summary.mean_to_copy = mean_of(own, &BenchmarkCell::ratio_to_copy);
  summary.mean_to_twin = mean_of(own, &BenchmarkCell::ratio_to_twin);
  if (group.target) {
    summary.below_target =
        static_cast<std::size_t>(std::count_if(own.begin(), own.end(), [&](const auto& cell) {
          return (group.target->of_twin ? cell.ratio_to_twin() : cell.ratio_to_copy()) <
                 group.target->worst;
        }));
  }
  return summary;
}

std::string summary_text(std::span<const GroupSummary> summaries) {
  std::string text = "speed relative to the fastest copy of the same bytes (geometric means)\n";
  for (const GroupSummary& summary : summaries) {
    const std::vector<BenchmarkCell>& cells = summary.slowest_first;
    if (cells.empty()) continue;
    text += fmt::format("{:<20} {:>4} cells  mean {:.3f} (of the twin {:.3f})  slowest {:.3f}{}\n",
                        summary.name, cells.size(), summary.mean_to_copy, summary.mean_to_twin,
                        cells.front().ratio_to_copy(), target_text(summary));
    for (std::size_t i = 0; i < std::min(kShownCells, cells.size()); ++i) {
      text +=
          fmt::format("    {:.3f}  {}\n", cells[i].ratio_to_copy(), describe(cells[i].workload));
    }
  }
  return text;
}

}  // namespace ropejit
