#ifndef ROPEJIT_SRC_ROPE_H_
#define ROPEJIT_SRC_ROPE_H_

#include <array>
#include <memory>

#include "ropejit/runtime.h"
#include "src/counters.h"
#include "src/driver.h"
#include "src/host_frequencies.h"
#include "src/launch.h"
#include "src/staging.h"
#include "src/token_bucket.h"

namespace ropejit {

/// A loaded kernel with what a launch of it needs.
struct RopeKernel {
  std::shared_ptr<const Kernel> kernel;
  LaunchShape shape{};
};

struct Rope::State {
  RopeSpec spec;
  float attention_factor = 1.0f;
  int device = kCpuDevice;
  std::shared_ptr<Counters> counters;
  std::unique_ptr<HostFrequencies> frequencies;  ///< on kCpuDevice alone
  // All below: absent on kCpuDevice.
  DeviceBuffer turns;                ///< at this address for life: captured graphs hold it
  std::unique_ptr<Staging> staging;  ///< for new turns
  int alignment = 0;                 ///< bytes that the wide kernels assume
  /// By token_bucket(), for calls that keep the spec's alignment promise. Buckets with one kernel
  /// share it.
  std::array<RopeKernel, kTokenBuckets> wide;
  RopeKernel narrow;  ///< for all others; may be one of the wide ones
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_ROPE_H_
