#ifndef ROPEJIT_SRC_ROPE_H_
#define ROPEJIT_SRC_ROPE_H_

#include <memory>

#include "ropejit/runtime.h"
#include "src/counters.h"
#include "src/driver.h"
#include "src/launch.h"

namespace ropejit {

/// A loaded kernel with what a launch of it needs.
struct RopeKernel {
  std::shared_ptr<const Kernel> kernel;
  LaunchShape shape{};
  int alignment = 0;  ///< bytes that it assumes
};

struct Rope::State {
  RopeSpec spec;
  Frequencies frequencies;
  int device = kCpuDevice;
  std::shared_ptr<Counters> counters;
  // All below: absent on kCpuDevice.
  DeviceBuffer turns;
  RopeKernel wide;    ///< for calls that keep the spec's alignment promise
  RopeKernel narrow;  ///< for all others; the same kernel where the promise is one element
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_ROPE_H_
