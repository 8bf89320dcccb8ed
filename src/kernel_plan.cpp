#include "src/kernel_plan.h"

#include <algorithm>

#include "src/heuristic.h"
#include "src/source.h"

namespace ropejit {
namespace {

LaunchConfig heuristic_for(const RopeSpec& kernel_spec, int bucket) {
  return effective_config(kernel_spec, heuristic_config(kernel_spec, bucket_tokens(bucket)));
}

/// The launch of the kernel, which is added unless it is there.
KernelPlan::Launch add(std::vector<KernelPlan::Kernel>& kernels, const RopeSpec& kernel_spec,
                       const LaunchConfig& config) {
  const LaunchConfig effective = effective_config(kernel_spec, config);
  KernelPlan::Kernel kernel{kernel_spec, effective};
  kernel.config.block_threads = LaunchConfig{}.block_threads;  // no part of a kernel
  const auto found = std::find(kernels.begin(), kernels.end(), kernel);
  const auto index = static_cast<std::size_t>(found - kernels.begin());
  if (found == kernels.end()) kernels.push_back(kernel);
  return {index, effective};
}

}  // namespace

BucketConfigs heuristic_configs(const RopeSpec& spec) {
  const RopeSpec kernel_spec = kernel_specs(spec).front();
  BucketConfigs configs;
  for (int bucket = 0; bucket < kTokenBuckets; ++bucket) {
    configs[static_cast<std::size_t>(bucket)] = heuristic_for(kernel_spec, bucket);
  }
  return configs;
}

KernelPlan plan_kernels(const RopeSpec& spec, const BucketConfigs& configs) {
  const std::vector<RopeSpec> specs = kernel_specs(spec);
  KernelPlan plan{};
  for (std::size_t bucket = 0; bucket < configs.size(); ++bucket) {
    plan.wide[bucket] = add(plan.kernels, specs.front(), configs[bucket]);
  }
  plan.narrow = add(plan.kernels, specs.back(), heuristic_for(specs.back(), kTokenBuckets - 1));
  return plan;
}

}  // namespace ropejit
