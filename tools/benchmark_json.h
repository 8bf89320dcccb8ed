#ifndef ROPEJIT_TOOLS_BENCHMARK_JSON_H_
#define ROPEJIT_TOOLS_BENCHMARK_JSON_H_

#include <string>

#include "tools/benchmark_report.h"

namespace ropejit {

/// The JSON text that docs/performance.md specifies.
std::string to_json(const BenchmarkReport& report);

/// Writes it beside `path` and renames it, so that there is never half of one. Throws Error(io).
void write_json(const BenchmarkReport& report, const std::string& path);

/// The moment, as BenchmarkReport::date.
std::string utc_now();

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_BENCHMARK_JSON_H_
