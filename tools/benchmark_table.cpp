#include "tools/benchmark_table.h"

#include <fmt/format.h>

#include "tools/version.h"

namespace ropejit {

std::string device_line(const BenchmarkReport& report) {
  const DeviceInfo& device = report.device;
  std::string line = fmt::format("device {}: {}, {}, {} multiprocessors, {:.1f} MiB of L2",
                                 device.ordinal, device.name, device.arch(), device.sm_count,
                                 static_cast<double>(device.l2_bytes) / (1 << 20));
  const int khz = report.clocks.core;
  if (khz != 0) line += fmt::format(", up to {} MHz", khz / 1000);
  return line + fmt::format("; CUDA {}.{}, {}, ropejit {} ({})", report.cuda_version / 1000,
                            report.cuda_version % 1000 / 10, report.nvrtc, version(), commit());
}

std::string cell_table_head() {
  return "   tokens  place  strides        us   +-%   GB/s  of copy  of twin  chain us  config";
}

std::string cell_row(const BenchmarkCell& cell) {
  const double spread = 50 * (cell.gpu.high - cell.gpu.low) / cell.gpu.us;
  return fmt::format(
      "{:>9}  {:<5}  {:<7}  {:>8.2f}  {:>4.1f}  {:>5.0f}  {:>7.3f}  {:>7.3f}  {:>8}  {}",
      cell.workload.tokens, cell.workload.in_place ? "in" : "out", name(cell.workload.strides),
      cell.gpu.us, spread, cell.gigabytes_per_second(), cell.ratio_to_copy(), cell.ratio_to_twin(),
      cell.chain ? fmt::format("{:.2f}", cell.chain->us) : "-", describe(cell.config));
}

std::string host_line(const PairedTiming& timing) {
  return fmt::format(
      "host time per call: apply {:.0f} ns, a raw launch {:.0f} ns; difference {:.0f} ns ({:.0f} "
      "to {:.0f})",
      timing.first_ns.median, timing.second_ns.median, timing.difference_ns.median,
      timing.difference_ns.low, timing.difference_ns.high);
}

std::string start_lines(const StartTiming& timing) {
  return fmt::format(
      "cold start {:>8.2f} ms  (empty cache: NVRTC opened, {} kernels compiled)\n"
      "disk start {:>8.2f} ms  (from the cache folder, NVRTC not opened; median of {})",
      timing.cold_ms, timing.cold.compiles, timing.warm_ms, timing.warm_runs);
}

}  // namespace ropejit
