#include "tools/verify_executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "ropejit/error.h"
#include "ropejit/reference.h"
#include "src/heuristic.h"
#include "src/kernel_plan.h"
#include "src/launch.h"
#include "src/source.h"
#include "tools/device_mirror.h"

namespace ropejit {
namespace {

/// The kernel's turns, at a multiple of 16 bytes.
Block aligned_turns(const Frequencies& frequencies) {
  const std::size_t bytes = frequencies.turns.size() * sizeof(std::uint64_t);
  Block turns(bytes + 1);
  std::copy_n(reinterpret_cast<const std::byte*>(frequencies.turns.data()), bytes, turns.data());
  return turns;
}

/// The first config of each kernel.
std::vector<LaunchConfig> one_per_kernel(const RopeSpec& spec, const BucketConfigs& configs) {
  const KernelPlan plan = plan_kernels(spec, configs);
  std::vector<LaunchConfig> chosen;
  std::set<std::size_t> seen;
  for (const KernelPlan::Launch& launch : plan.wide) {
    if (seen.insert(launch.kernel).second) chosen.push_back(launch.config);
  }
  return chosen;
}

}  // namespace

HostExecutor::HostExecutor() : HostExecutor(Options{}) {}

HostExecutor::HostExecutor(Options options)
    : options_(std::move(options)), compiler_(find_host_compiler()) {}

const HostKernel& HostExecutor::kernel_for(const RopeSpec& kernel_spec,
                                           const LaunchConfig& config) {
  Source source = render(kernel_spec, config);
  if (options_.edit_text) source.text = options_.edit_text(source.text);
  return *kernels_
              .get(source.text,
                   [&] { return std::make_shared<const HostKernel>(compiler_, source); })
              .value;
}

void HostExecutor::execute(const VerifyCase& test, const RopeArgs& args,
                           std::span<Block> /*blocks*/) {
  const RopeSpec& spec = test.spec;
  validate(spec);
  validate(spec, test.frequencies);
  const CallFacts facts = check_args(spec, args);
  if (facts.tokens == 0) return;
  const std::vector<RopeSpec> kernels = kernel_specs(spec);
  const bool aligned = aligned_to(spec, facts.bits, kernels.front().alignment);
  const RopeSpec& chosen = aligned ? kernels.front() : kernels.back();
  const LaunchConfig config =
      aligned && test.config ? *test.config : heuristic_config(chosen, facts.tokens);
  const Block turns = aligned_turns(test.frequencies);
  Launch launch = plan_launch(spec, launch_shape(chosen, config), args, facts,
                              reinterpret_cast<const std::uint64_t*>(turns.data()),
                              test.frequencies.attention_factor);
  if (options_.force_wide) launch.params.wide = 1;
  const long long misaligned =
      kernel_for(chosen, config).run(launch.params, launch.grid, launch.block);
  if (misaligned != 0) {
    throw Error(ErrorCode::driver,
                fmt::format("{} misaligned accesses: on a device each is a fault", misaligned));
  }
}

std::vector<LaunchConfig> HostExecutor::configs(const RopeSpec& spec) {
  return one_per_kernel(spec, heuristic_configs(spec));
}

DeviceExecutor::DeviceExecutor(Runtime& runtime, int device)
    : runtime_(runtime),
      device_(Device::open(Driver::open(runtime.options().cuda_library), device)) {}

void DeviceExecutor::execute(const VerifyCase& test, const RopeArgs& args,
                             std::span<Block> blocks) {
  const Rope rope =
      runtime_.rope(test.spec, test.frequencies, device_->info().ordinal, test.config);
  const DeviceMirror mirror(*device_, blocks);
  device_->with_context([&] { rope.apply(mirror.translate(args, blocks)); });
  mirror.download(blocks);
}

std::vector<LaunchConfig> DeviceExecutor::configs(const RopeSpec& spec) {
  BucketConfigs configs;
  for (int bucket = 0; bucket < kTokenBuckets; ++bucket) {
    configs[static_cast<std::size_t>(bucket)] =
        runtime_.explain(spec, device_->info().ordinal, bucket_tokens(bucket)).config;
  }
  return one_per_kernel(spec, configs);
}

void ReferenceExecutor::execute(const VerifyCase& test, const RopeArgs& args,
                                std::span<Block> /*blocks*/) {
  apply_reference(test.spec, test.frequencies, args);
}

std::vector<LaunchConfig> ReferenceExecutor::configs(const RopeSpec& /*spec*/) { return {}; }

}  // namespace ropejit
