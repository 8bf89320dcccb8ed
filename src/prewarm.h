#ifndef ROPEJIT_SRC_PREWARM_H_
#define ROPEJIT_SRC_PREWARM_H_

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ropejit/runtime.h"
#include "src/build.h"
#include "src/tuning_table.h"

namespace ropejit {

using PrewarmProgress = std::function<void(std::size_t, std::size_t, const PrewarmResult&)>;

/// Runtime::prewarm, on a Builder.
std::vector<PrewarmResult> prewarm(Builder& builder, const TuningTable& table,
                                   std::span<const RopeSpec> specs,
                                   std::span<const std::string> archs, int threads,
                                   const PrewarmProgress& progress);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_PREWARM_H_
