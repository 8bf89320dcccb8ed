#include "tools/benchmark.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "src/for_each_index.h"
#include "src/kernel_plan.h"
#include "src/source.h"
#include "tools/workload_ring.h"

namespace ropejit {
namespace {

/// Leaves room for the context, and for what other processes have.
constexpr double kUsablePartOfMemory = 0.8;

RuntimeOptions options_with_folder(RuntimeOptions options, const ScratchFolder& folder) {
  options.cache_dir = (folder.path() / "cache").string();
  options.allow_compile = true;
  options.cpu_fallback = false;
  return options;
}

BucketConfigs all(const LaunchConfig& config) {
  BucketConfigs configs;
  configs.fill(config);
  return configs;
}

}  // namespace

Benchmark::Benchmark(const RuntimeOptions& options, int device)
    : options_(options_with_folder(options, folder_)),
      runtime_(options_),
      builder_({options_.cache_dir, true, options_.nvrtc_library, options_.log}, counters_),
      device_(Device::open(Driver::open(options_.cuda_library), device)),
      copy_kernel_(builder_.compiler(), *device_) {}

ConfigChoice Benchmark::choice_for(const Workload& workload) {
  return runtime_.explain(workload.spec, device_->info().ordinal, workload.tokens);
}

std::vector<PreparedBuild> Benchmark::kernels_of(std::span<const Workload> workloads) {
  const std::string arch = device_->info().arch();
  std::vector<PreparedBuild> kernels;
  std::set<Key> seen;
  const auto add = [&](const RopeSpec& kernel_spec, const LaunchConfig& config, Body body) {
    PreparedBuild prepared({kernel_spec, config, arch, body});
    if (seen.insert(prepared.key).second) kernels.push_back(std::move(prepared));
  };
  for (const Workload& workload : workloads) {
    const LaunchConfig config = choice_for(workload).config;
    for (const KernelPlan::Kernel& kernel : plan_kernels(workload.spec, all(config)).kernels) {
      add(kernel.spec, kernel.config, Body::rotate);
    }
    add(kernel_specs(workload.spec).front(), config, Body::copy);
  }
  return kernels;
}

void Benchmark::build(std::span<const Workload> workloads) {
  const std::vector<PreparedBuild> kernels = kernels_of(workloads);
  for_each_index(kernels.size(), 0,
                 [&](std::size_t i) { builder_.build(kernels[i], Reuse::any_version); });
}

std::string Benchmark::obstacle(const Workload& workload) const {
  const DeviceInfo& info = device_->info();
  const double needed = static_cast<double>(ring_bytes(workload, info.l2_bytes));
  const double usable = kUsablePartOfMemory * static_cast<double>(info.memory_bytes);
  if (needed <= usable) return {};
  constexpr double kGiB = 1 << 30;
  return fmt::format("needs {:.1f} GiB of device memory; {:.1f} of {:.1f} GiB are used at most",
                     needed / kGiB, usable / kGiB, static_cast<double>(info.memory_bytes) / kGiB);
}

BenchmarkCell Benchmark::measure(const Workload& workload, const MeasureOptions& options) {
  const ConfigChoice choice = choice_for(workload);
  const LaunchConfig& config = choice.config;
  const WorkloadRing ring(device_, workload);
  const Rope rope =
      runtime_.rope(workload.spec, ring.workload().frequencies, device_->info().ordinal, config);
  BenchmarkCell cell;
  cell.workload = workload;
  cell.config = effective_config(kernel_specs(workload.spec).front(), config);
  cell.match = choice.match;
  cell.bytes = bytes_moved(workload);
  cell.copy_kind = fastest_copy(copy_kernel_, ring);

  std::vector<Call> calls = {apply_call(rope, ring), copy_call(cell.copy_kind, copy_kernel_, ring),
                             kernel_call(builder_, ring, config, Body::copy)};
  const bool has_chain = workload.tokens <= kMostDecodeTokens;
  if (has_chain) calls.push_back(chained_call(rope, ring));
  const std::vector<Timing> timings = measure_interleaved(*device_, calls, ring.sets(), options);
  cell.gpu = timings[0];
  cell.copy = timings[1];
  cell.twin = timings[2];
  if (has_chain) cell.chain = timings[3];
  return cell;
}

PairedTiming Benchmark::measure_host(const RopeSpec& spec, const Frequencies& frequencies) {
  Workload workload;
  workload.spec = spec;
  workload.frequencies = frequencies;
  const WorkloadRing ring(device_, workload);
  const LaunchConfig config = choice_for(workload).config;
  const Rope rope = runtime_.rope(spec, frequencies, device_->info().ordinal, config);
  return ropejit::measure_host(builder_, rope, ring, config);
}

}  // namespace ropejit
