#ifndef ROPEJIT_TOOLS_VERIFY_H_
#define ROPEJIT_TOOLS_VERIFY_H_

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ropejit/model.h"
#include "tools/verify_case.h"
#include "tools/verify_executor.h"

namespace ropejit {

/// What became of one case.
struct CaseResult {
  std::string name;  ///< describe(case); the spec is not part of it
  bool passed = false;
  double worst_fraction = 0;  ///< see Check: at most 1 when passed
  double worst_error = 0;     ///< see Check: at most 4e-7 (float32) or 2e-6 when passed
  std::string message;        ///< what was wrong, when not passed
};

/// Carries the case out and checks everything about its result (see check_outputs). A case in place
/// is carried out out of place as well, and must give the same bits. Error(driver) and
/// Error(invalid_argument) are failures of the case; other Errors (no compiler, say) are thrown.
/// Thread-safe if the executor is.
CaseResult run_case(const VerifyCase& test, Executor& executor);

/// The calls that `ropejit verify` tries for one spec and one of its launch configs (nothing: the
/// one for the call's tokens): 16, over token counts from none to 129 (less for a spec with very
/// many elements per token), placements, in place or not, aligned and misaligned, q or k alone, and
/// positions from 0 to 2^31 - 1 and their negatives, beyond 32 bits where the spec has room for
/// them. Deterministic.
std::vector<VerifyCase> cases_for(const RopeSpec& spec, const Frequencies& frequencies,
                                  const std::optional<LaunchConfig>& config = {});

/// Those calls for every kernel that the executor has for the spec. A misaligned call, which takes
/// one kernel whatever the config, occurs once.
std::vector<VerifyCase> cases_for(const RopeSpec& spec, const Frequencies& frequencies,
                                  Executor& executor);

struct VerifyReport {
  int passed = 0;
  int failed = 0;
  double worst_fraction = 0;
  double worst_error = 0;
};

/// Runs all cases of all specs, one after the other, and calls `on_case(spec, result)` after each.
VerifyReport verify(std::span<const SpecFile> specs, Executor& executor,
                    const std::function<void(const RopeSpec&, const CaseResult&)>& on_case = {});

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_VERIFY_H_
