#ifndef ROPEJIT_TOOLS_BENCHMARK_REPORT_H_
#define ROPEJIT_TOOLS_BENCHMARK_REPORT_H_

#include <string>
#include <vector>

#include "ropejit/spec.h"
#include "src/driver.h"
#include "tools/benchmark.h"
#include "tools/host_timing.h"
#include "tools/start_timing.h"

namespace ropejit {

struct HostMeasurement {
  RopeSpec spec;
  PairedTiming timing;  ///< Rope::apply, and a raw launch
};

struct StartMeasurement {
  RopeSpec spec;
  StartTiming timing;
};

/// All that `ropejit bench` measured, and on what.
struct BenchmarkReport {
  DeviceInfo device;
  DeviceClocks clocks;
  int cuda_version = 0;  ///< that the driver supports: 13000
  std::string nvrtc;     ///< `NVRTC 13.0`
  std::string date;      ///< of the beginning, UTC: `2026-01-31T12:00:00Z`
  std::vector<BenchmarkCell> cells;
  std::vector<HostMeasurement> host;
  std::vector<StartMeasurement> start;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_BENCHMARK_REPORT_H_
