#ifndef ROPEJIT_TOOLS_BENCHMARK_SUITE_H_
#define ROPEJIT_TOOLS_BENCHMARK_SUITE_H_

#include <optional>
#include <string>
#include <vector>

#include "tools/workload.h"

namespace ropejit {

/// What a group's speeds relative to the copy, or to the twin, should be at least.
struct BenchmarkTarget {
  double mean = 0;       ///< the geometric mean of all cells
  double worst = 0;      ///< every one of them
  bool of_twin = false;  ///< relative to the rotation-free twin
};

/// Workloads that are measured and judged together.
struct BenchmarkGroup {
  std::string name;
  std::optional<BenchmarkTarget> target;
  std::vector<Workload> workloads;
};

/// The comparison that docs/performance.md shows, over
///   grid: 8192 and 32768 tokens; 32/8, 32/32, 64/8 and 28/4 heads of 64, 128 and 256; every dtype
///     and layout; exact and table angles; in place and not: 576 cells;
///   head sizes, partial rotation, head counts, strides: awkward ones, at 8192 tokens;
///   512 and 2048 tokens; decode (1 to 256 tokens): Llama-3-8B's shape in every dtype and layout.
std::vector<BenchmarkGroup> benchmark_suite();

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_BENCHMARK_SUITE_H_
