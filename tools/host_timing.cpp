#include "tools/host_timing.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "ropejit/error.h"
#include "src/driver_raw_launch.h"
#include "tools/calls.h"

namespace ropejit {
namespace {

constexpr int kWarmUpPairs = 20;

double nanoseconds_now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::nano>(now).count();
}

}  // namespace

PairedTiming measure_pairs(const std::function<void()>& first, const std::function<void()>& second,
                           const std::function<void()>& settle, const PairedOptions& options,
                           const std::function<double()>& clock_ns) {
  const auto time_group = [&](const std::function<void()>& work) {
    settle();
    const double begin = clock_ns();
    for (int i = 0; i < options.group; ++i) work();
    return (clock_ns() - begin) / options.group;
  };
  std::vector<double> first_ns;
  std::vector<double> second_ns;
  std::vector<double> differences;
  for (int pair = 0; pair < options.pairs; ++pair) {
    double of_first = 0;
    double of_second = 0;
    if (pair % 2 == 0) {
      of_first = time_group(first);
      of_second = time_group(second);
    } else {
      of_second = time_group(second);
      of_first = time_group(first);
    }
    first_ns.push_back(of_first);
    second_ns.push_back(of_second);
    differences.push_back(of_first - of_second);
  }
  return {median_interval(std::move(first_ns)), median_interval(std::move(second_ns)),
          median_interval(std::move(differences)), options.pairs * options.group};
}

PairedTiming measure_host(Builder& builder, const Rope& rope, const WorkloadRing& ring,
                          const LaunchConfig& config, const PairedOptions& options) {
  const PlannedKernel planned = plan_kernel(builder, ring, config, Body::rotate);
  const Launch& launch = planned.launches.front();
  const Stream stream = ring.device().create_stream();
  const RawLaunch raw(planned.kernel, &launch.params, launch.grid, launch.block, stream.get());
  const RopeArgs& args = ring.args(0);
  bool succeeded = true;
  const auto apply = [&] { rope.apply(args, stream.get()); };
  const auto launch_raw = [&] { succeeded = raw.launch() && succeeded; };
  const auto settle = [&] { stream.synchronize(); };
  measure_pairs(apply, launch_raw, settle, {.pairs = kWarmUpPairs, .group = options.group},
                nanoseconds_now);
  const PairedTiming timing = measure_pairs(apply, launch_raw, settle, options, nanoseconds_now);
  stream.synchronize();
  if (!succeeded) throw Error(ErrorCode::driver, "a raw cuLaunchKernelEx failed");
  return timing;
}

}  // namespace ropejit
