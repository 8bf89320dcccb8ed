#ifndef ROPEJIT_TOOLS_HOST_TIMING_H_
#define ROPEJIT_TOOLS_HOST_TIMING_H_

#include <functional>

#include "ropejit/config.h"
#include "ropejit/runtime.h"
#include "src/build.h"
#include "tools/order_statistics.h"
#include "tools/workload_ring.h"

namespace ropejit {

/// Host time of two ways to do the same, in nanoseconds each time.
struct PairedTiming {
  MedianInterval first_ns;
  MedianInterval second_ns;
  MedianInterval difference_ns;  ///< first less second, pair by pair
  int repetitions = 0;           ///< of each way
};

struct PairedOptions {
  int pairs = 100;
  int group = 100;  ///< repetitions between two looks at the clock: the first of them find the
                    ///< processor's caches as waiting left them, and are no warm calls
};

/// Times groups of `first` and of `second` in turn, the other one first in every second pair, so
/// that whatever drifts drifts for both. `settle` is called before each group, untimed; `clock_ns`
/// gives nanoseconds from some moment on.
PairedTiming measure_pairs(const std::function<void()>& first, const std::function<void()>& second,
                           const std::function<void()>& settle, const PairedOptions& options,
                           const std::function<double()>& clock_ns);

/// Warm Rope::apply (first) against a raw cuLaunchKernelEx (second) of the kernel that `config`
/// gives, with parameters that were prepared in advance, on the ring's first set. `rope` must have
/// been resolved with that config. The stream is idle when a group begins, so that no launch ever
/// waits for room in its queue, and the context is current, as it is in a process that uses the
/// CUDA runtime. Throws what kernel_call() throws, and Error(driver) if a launch fails.
PairedTiming measure_host(Builder& builder, const Rope& rope, const WorkloadRing& ring,
                          const LaunchConfig& config, const PairedOptions& options = {});

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_HOST_TIMING_H_
