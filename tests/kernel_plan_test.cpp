#include "src/kernel_plan.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "src/build.h"
#include "src/heuristic.h"
#include "src/source.h"
#include "tests/tuning_fixture.h"

namespace ropejit {
namespace {

BucketConfigs same_everywhere(const LaunchConfig& config) {
  BucketConfigs configs;
  configs.fill(config);
  return configs;
}

}  // namespace

TEST_CASE("configs that differ in their threads alone share a kernel, and launch it differently") {
  BucketConfigs configs = same_everywhere({128, 16, Pairing::exchange, 2, false});
  configs[3].block_threads = 256;
  const KernelPlan plan = plan_kernels(llama_spec(), configs);
  CHECK(plan.kernels.size() == 2);
  for (const KernelPlan::Launch& launch : plan.wide) CHECK(launch.kernel == 0);
  CHECK(plan.wide[2].config.block_threads == 128);
  CHECK(plan.wide[3].config.block_threads == 256);
  CHECK(plan.narrow.kernel == 1);
}

TEST_CASE("configs that come to the same for a spec share a kernel") {
  BucketConfigs configs = same_everywhere({128, 16, Pairing::registers, 1, false});
  configs[0].access_bytes = 32;  // the spec promises 16
  RopeSpec spec = llama_spec();
  spec.layout = Layout::interleaved;
  configs[1].pairing = Pairing::exchange;  // of neighbours there is nothing to exchange
  CHECK(plan_kernels(spec, configs).kernels.size() == 2);
}

TEST_CASE("every bucket has the kernel and launch of its config, and no kernel is there twice") {
  BucketConfigs configs = heuristic_configs(llama_spec());
  for (std::size_t bucket = 0; bucket < configs.size(); ++bucket) {
    configs[bucket].heads_per_thread = 1 << bucket % 3;
    configs[bucket].streaming_stores = bucket > 15;
  }
  const KernelPlan plan = plan_kernels(llama_spec(), configs);
  const RopeSpec wide = kernel_specs(llama_spec()).front();
  std::set<std::string> keys;
  for (const KernelPlan::Kernel& kernel : plan.kernels) {
    keys.insert(Builder::key_of({kernel.spec, kernel.config, "sm_90"}).hex());
  }
  CHECK(keys.size() == plan.kernels.size());
  for (std::size_t bucket = 0; bucket < configs.size(); ++bucket) {
    const KernelPlan::Kernel& kernel = plan.kernels[plan.wide[bucket].kernel];
    CHECK(kernel.spec == wide);
    CHECK(plan.wide[bucket].config == effective_config(wide, configs[bucket]));
    CHECK(render(kernel.spec, kernel.config).text == render(wide, configs[bucket]).text);
  }
}

TEST_CASE("calls that break the alignment promise have the heuristic's kernel of one element") {
  const KernelPlan plan =
      plan_kernels(llama_spec(), same_everywhere({512, 4, Pairing::registers, 4, true}));
  const RopeSpec narrow = kernel_specs(llama_spec()).back();
  CHECK(plan.kernels[plan.narrow.kernel].spec == narrow);
  CHECK(plan.narrow.config ==
        effective_config(narrow, heuristic_config(narrow, bucket_tokens(kTokenBuckets - 1))));
}

TEST_CASE("a spec that promises one element's alignment has no kernel besides") {
  RopeSpec spec = llama_spec();
  spec.alignment = 2;
  const KernelPlan plan = plan_kernels(spec, heuristic_configs(spec));
  for (const KernelPlan::Kernel& kernel : plan.kernels) CHECK(kernel.spec.alignment == 2);
  CHECK(plan.narrow.kernel == plan.wide[0].kernel);
}

TEST_CASE("the heuristic's configs are those that take effect") {
  const BucketConfigs configs = heuristic_configs(llama_spec());
  const RopeSpec wide = kernel_specs(llama_spec()).front();
  for (int bucket = 0; bucket < kTokenBuckets; ++bucket) {
    CHECK(configs[static_cast<std::size_t>(bucket)] ==
          effective_config(wide, heuristic_config(wide, bucket_tokens(bucket))));
  }
}

}  // namespace ropejit
