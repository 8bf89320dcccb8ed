#ifndef ROPEJIT_TOOLS_START_TIMING_H_
#define ROPEJIT_TOOLS_START_TIMING_H_

#include "ropejit/frequencies.h"
#include "ropejit/runtime.h"
#include "ropejit/spec.h"

namespace ropejit {

/// How long a process waits for its first Rope, in milliseconds: from making a Runtime to a handle
/// that can be launched. The driver's own start (cuInit and the context) is not counted.
struct StartTiming {
  double cold_ms = 0;  ///< empty cache folder: NVRTC is loaded and compiles
  double warm_ms = 0;  ///< filled folder, a fresh Runtime: the median of `warm_runs`
  int warm_runs = 0;
  Stats cold;  ///< of the cold Runtime
  Stats warm;  ///< of the last warm one: no compiles, and NVRTC not opened
};

/// Measures with a cache folder of its own; of `options` it takes the libraries only. To be called
/// in a process that has not compiled yet: NVRTC, once loaded, stays. Throws Error(driver) if a
/// warm start compiled or opened NVRTC, and whatever Runtime::rope throws.
StartTiming measure_start(const RopeSpec& spec, const Frequencies& frequencies, int device,
                          const RuntimeOptions& options);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_START_TIMING_H_
