#include "tools/calls.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "src/source.h"

namespace ropejit {
namespace {

constexpr std::array<std::string_view, 3> kCopyKindNames = {"memcpy", "kernel_256", "kernel_320"};

/// Enough to tell kinds apart that differ by a percent or two.
constexpr MeasureOptions kShortMeasurement{
    .budget_ms = 0, .least_rounds = 5, .most_rounds = 5, .replay_us = 200};

}  // namespace

Call apply_call(const Rope& rope, const WorkloadRing& ring) {
  return
      [rope, &ring](std::size_t set, CUstream_st* stream) { rope.apply(ring.args(set), stream); };
}

Call chained_call(const Rope& rope, const WorkloadRing& ring) {
  return [rope, &ring](std::size_t set, CUstream_st* stream) {
    RopeArgs args = ring.args(set);
    args.dependent_launch = args.early_positions = true;
    rope.apply(args, stream);
  };
}

PlannedKernel plan_kernel(Builder& builder, const WorkloadRing& ring, const LaunchConfig& config,
                          Body body) {
  const Workload& workload = ring.workload();
  const RopeSpec kernel_spec = kernel_specs(workload.spec).front();
  const std::string entry_point = render(kernel_spec, config, body).entry_point;
  const BuiltCubin built =
      builder.build({kernel_spec, config, ring.device().info().arch(), body}, Reuse::any_version);
  PlannedKernel planned{ring.device().load(built.cubin, entry_point), {}};
  const LaunchShape shape = launch_shape(kernel_spec, config);
  for (std::size_t set = 0; set < ring.sets(); ++set) {
    const RopeArgs args = ring.args(set);
    planned.launches.push_back(plan_launch(workload.spec, shape, args,
                                           check_args(workload.spec, args), ring.turns(),
                                           workload.frequencies.attention_factor));
  }
  return planned;
}

Call kernel_call(Builder& builder, const WorkloadRing& ring, const LaunchConfig& config,
                 Body body) {
  const auto planned =
      std::make_shared<const PlannedKernel>(plan_kernel(builder, ring, config, body));
  return [planned](std::size_t set, CUstream_st* stream) {
    const Launch& launch = planned->launches[set];
    planned->kernel->launch(&launch.params, launch.grid, launch.block, stream);
  };
}

std::string_view name(CopyKind kind) noexcept {
  return kCopyKindNames[static_cast<std::size_t>(kind)];
}

Call copy_call(CopyKind kind, const CopyKernel& kernel, const WorkloadRing& ring) {
  if (kind == CopyKind::memcpy) {
    return [&ring](std::size_t set, CUstream_st* stream) {
      ring.device().copy_async(ring.copy_to(set), ring.copy_from(set), ring.copy_bytes(), stream);
    };
  }
  const unsigned threads = kind == CopyKind::kernel_256 ? 256 : 320;
  return [kernel, threads, &ring](std::size_t set, CUstream_st* stream) {
    kernel.copy_async(ring.copy_to(set), ring.copy_from(set), ring.copy_bytes(), threads, stream);
  };
}

CopyKind fastest_copy(const CopyKernel& kernel, const WorkloadRing& ring) {
  std::vector<Call> calls;
  for (const CopyKind kind : kAllCopyKinds) calls.push_back(copy_call(kind, kernel, ring));
  const std::vector<Timing> timings =
      measure_interleaved(ring.device(), calls, ring.sets(), kShortMeasurement);
  const auto fastest = std::min_element(
      timings.begin(), timings.end(), [](const Timing& a, const Timing& b) { return a.us < b.us; });
  return kAllCopyKinds[fastest - timings.begin()];
}

}  // namespace ropejit
