#ifndef ROPEJIT_TOOLS_CALLS_H_
#define ROPEJIT_TOOLS_CALLS_H_

#include <memory>
#include <string_view>
#include <vector>

#include "ropejit/config.h"
#include "ropejit/runtime.h"
#include "src/build.h"
#include "src/driver.h"
#include "src/launch.h"
#include "tools/copy_kernel.h"
#include "tools/measure.h"
#include "tools/workload_ring.h"

namespace ropejit {

// What is measured on a workload. Every Call borrows the ring, and shares all else that it needs.

/// Rope::apply.
Call apply_call(const Rope& rope, const WorkloadRing& ring);

/// Rope::apply as a link in a chain of dependent launches, with positions that may be read early.
Call chained_call(const Rope& rope, const WorkloadRing& ring);

/// A loaded kernel and its launch on every set of a ring.
struct PlannedKernel {
  std::shared_ptr<const Kernel> kernel;
  std::vector<Launch> launches;
};

/// The kernel that `config` gives for the workload; with Body::copy its rotation-free twin. Throws
/// Error(not_cached, compile_failed, driver).
PlannedKernel plan_kernel(Builder& builder, const WorkloadRing& ring, const LaunchConfig& config,
                          Body body);

/// Launches of plan_kernel().
Call kernel_call(Builder& builder, const WorkloadRing& ring, const LaunchConfig& config, Body body);

/// The ways to copy as many bytes as the call moves.
enum class CopyKind {
  memcpy,      ///< cuMemcpyAsync
  kernel_256,  ///< CopyKernel, by blocks of 256 threads
  kernel_320,  ///< by blocks of 320
};
inline constexpr CopyKind kAllCopyKinds[] = {CopyKind::memcpy, CopyKind::kernel_256,
                                             CopyKind::kernel_320};
std::string_view name(CopyKind kind) noexcept;

Call copy_call(CopyKind kind, const CopyKernel& kernel, const WorkloadRing& ring);

/// The fastest of copy_call() on a ring, by a few rounds of each.
CopyKind fastest_copy(const CopyKernel& kernel, const WorkloadRing& ring);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_CALLS_H_
