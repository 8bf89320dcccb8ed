#ifndef ROPEJIT_TOOLS_BENCHMARK_H_
#define ROPEJIT_TOOLS_BENCHMARK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ropejit/config.h"
#include "ropejit/runtime.h"
#include "src/build.h"
#include "src/counters.h"
#include "src/driver.h"
#include "tools/calls.h"
#include "tools/host_timing.h"
#include "tools/measure.h"
#include "tools/scratch_folder.h"
#include "tools/workload.h"

namespace ropejit {

/// A workload and what was measured of it.
struct BenchmarkCell {
  Workload workload;
  std::string group;               ///< of the suite; empty: none
  LaunchConfig config;             ///< that the call took, without what has no effect on its kernel
  Match match = Match::heuristic;  ///< how the config was chosen
  std::int64_t bytes = 0;
  Timing gpu;   ///< Rope::apply
  Timing copy;  ///< the fastest copy of as many bytes
  CopyKind copy_kind = CopyKind::memcpy;
  Timing twin;                  ///< the rotation-free twin
  std::optional<Timing> chain;  ///< as a link of a chain of dependent launches; up to 256 tokens

  double ratio_to_copy() const { return copy.us / gpu.us; }  ///< speed: 1 is as fast as the copy
  double ratio_to_twin() const { return twin.us / gpu.us; }
  double gigabytes_per_second() const { return static_cast<double>(bytes) / gpu.us / 1000; }
};

/// A device with all that cells are measured by.
class Benchmark {
 public:
  /// Opens the device and NVRTC. Takes of `options` the libraries and the log: kernels go to a
  /// cache folder of its own, since their twins are of no use to anybody else. Throws Error(driver,
  /// compile_failed, io).
  Benchmark(const RuntimeOptions& options, int device);

  const Device& device() const noexcept { return *device_; }
  const std::string& nvrtc_version() { return builder_.compiler().version(); }

  /// Kernels compiled so far.
  std::uint64_t compiles() const { return counters_.compiles + runtime_.stats().compiles; }

  /// Builds all kernels that the workloads need, on every core, so that the device need not wait
  /// for them. Throws as Builder::build().
  void build(std::span<const Workload> workloads);

  /// Why the workload cannot be measured here; empty: it can. The device's memory may be too small.
  std::string obstacle(const Workload& workload) const;
  BenchmarkCell measure(const Workload& workload, const MeasureOptions& options);
  /// Host time of a call of one token.
  PairedTiming measure_host(const RopeSpec& spec, const Frequencies& frequencies);

 private:
  /// The config that Rope::apply takes for the workload.
  ConfigChoice choice_for(const Workload& workload);
  /// Every distinct kernel: those of a Rope, and the twins.
  std::vector<PreparedBuild> kernels_of(std::span<const Workload> workloads);

  ScratchFolder folder_;
  RuntimeOptions options_;
  Runtime runtime_;
  Counters counters_;
  Builder builder_;
  std::shared_ptr<const Device> device_;
  CopyKernel copy_kernel_;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_BENCHMARK_H_
