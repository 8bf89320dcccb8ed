#ifndef ROPEJIT_SRC_KERNEL_PLAN_H_
#define ROPEJIT_SRC_KERNEL_PLAN_H_

#include <array>
#include <cstddef>
#include <vector>

#include "ropejit/config.h"
#include "ropejit/spec.h"
#include "src/token_bucket.h"

namespace ropejit {

/// A launch config for every token bucket.
using BucketConfigs = std::array<LaunchConfig, kTokenBuckets>;

/// Those of the built-in rule, as they take effect.
BucketConfigs heuristic_configs(const RopeSpec& spec);

/// What a Rope consists of. It is the same for whoever builds, loads or pre-warms one.
struct KernelPlan {
  struct Kernel {
    RopeSpec spec;  ///< one of kernel_specs()
    LaunchConfig config;

    bool operator==(const Kernel&) const = default;
  };
  struct Launch {
    std::size_t kernel;  ///< index of `kernels`
    LaunchConfig config;
  };
  /// Each once: configs that differ in block_threads alone share one.
  std::vector<Kernel> kernels;
  std::array<Launch, kTokenBuckets> wide;  ///< for calls that keep the alignment promise
  Launch narrow;                           ///< for all others
};

/// The plan for a valid spec whose calls take `configs`, all of them valid.
KernelPlan plan_kernels(const RopeSpec& spec, const BucketConfigs& configs);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_KERNEL_PLAN_H_
