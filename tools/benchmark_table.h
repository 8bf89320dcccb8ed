#ifndef ROPEJIT_TOOLS_BENCHMARK_TABLE_H_
#define ROPEJIT_TOOLS_BENCHMARK_TABLE_H_

#include <string>

#include "tools/benchmark_report.h"

namespace ropejit {

// Lines for a terminal, without the last line end.

/// What was measured on.
std::string device_line(const BenchmarkReport& report);

/// The head of a table of cells, and a row of it.
std::string cell_table_head();
std::string cell_row(const BenchmarkCell& cell);

std::string host_line(const PairedTiming& timing);
std::string start_lines(const StartTiming& timing);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_BENCHMARK_TABLE_H_
