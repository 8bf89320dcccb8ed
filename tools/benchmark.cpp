#include "tools/benchmark.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "src/for_each_index.h"
#include "src/heuristic.h"
#include "src/source.h"
#include "src/token_bucket.h"
#include "tools/workload_ring.h"

namespace ropejit {
namespace {

/// Leaves room for the context, and for what other processes have.
constexpr double kUsablePartOfMemory = 0.8;

RuntimeOptions options_with_folder(const RuntimeOptions& given, const ScratchFolder& folder) {
  RuntimeOptions options;
  options.cache_dir = (folder.path() / "cache").string();
  options.nvrtc_library = given.nvrtc_library;
  options.cuda_library = given.cuda_library;
  options.log = given.log;
  return options;
}

LaunchConfig config_of(const RopeSpec& kernel_spec, std::int64_t tokens) {
  return heuristic_config(kernel_spec, bucket_tokens(token_bucket(tokens)));
}

/// Every distinct kernel of the workloads: as they are called, as twins, and those that a Rope
/// keeps for calls that are not aligned.
std::vector<BuildRequest> requests_for(std::span<const Workload> workloads,
                                       const std::string& arch) {
  std::vector<BuildRequest> requests;
  std::set<Key> seen;
  const auto add = [&](const BuildRequest& request) {
    if (seen.insert(Builder::key_of(request)).second) requests.push_back(request);
  };
  for (const Workload& workload : workloads) {
    const std::vector<RopeSpec> kernels = kernel_specs(workload.spec);
    const LaunchConfig config = config_for(workload);
    add({kernels.front(), config, arch, Body::rotate});
    add({kernels.front(), config, arch, Body::copy});
    add({kernels.back(), config_of(kernels.back(), 1), arch, Body::rotate});
  }
  return requests;
}

}  // namespace

LaunchConfig config_for(const Workload& workload) {
  return config_of(kernel_specs(workload.spec).front(), workload.tokens);
}

Benchmark::Benchmark(const RuntimeOptions& options, int device)
    : options_(options_with_folder(options, folder_)),
      runtime_(options_),
      builder_({options_.cache_dir, true, options_.nvrtc_library, options_.log}, counters_),
      device_(Device::open(Driver::open(options_.cuda_library), device)),
      copy_kernel_(builder_.compiler(), *device_) {}

void Benchmark::build(std::span<const Workload> workloads) {
  const std::vector<BuildRequest> requests = requests_for(workloads, device_->info().arch());
  for_each_index(requests.size(), 0,
                 [&](std::size_t i) { builder_.build(requests[i], Reuse::any_version); });
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
  const LaunchConfig config = config_for(workload);
  const WorkloadRing ring(device_, workload);
  const Rope rope =
      runtime_.rope(workload.spec, ring.workload().frequencies, device_->info().ordinal, config);
  BenchmarkCell cell;
  cell.workload = workload;
  cell.config = effective_config(kernel_specs(workload.spec).front(), config);
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
  const LaunchConfig config = config_for(workload);
  const Rope rope = runtime_.rope(spec, frequencies, device_->info().ordinal, config);
  return ropejit::measure_host(builder_, rope, ring, config);
}

}  // namespace ropejit
