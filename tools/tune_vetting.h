#ifndef ROPEJIT_TOOLS_TUNE_VETTING_H_
#define ROPEJIT_TOOLS_TUNE_VETTING_H_

#include <optional>
#include <span>
#include <vector>

#include "ropejit/runtime.h"
#include "tools/tune_measurer.h"
#include "tools/verify_executor.h"

namespace ropejit {

/// Compiles and verifies candidates, on all threads at once. A config is verified by a small case
/// with random data, in place and out of place, against the reference (see run_case()).
class CandidateCheck {
 public:
  /// Borrows both; `executor` carries calls out on `device` with kernels of `runtime`. `threads`: 0
  /// for one per core.
  CandidateCheck(Runtime& runtime, int device, Executor& executor, unsigned threads)
      : runtime_(runtime), device_(device), executor_(executor), threads_(threads) {}

  /// Compiles the kernels that configs of `space` need. Throws Error(not_cached), and
  /// Error(compile_failed) where there is no NVRTC at all: a kernel that does not compile is told
  /// of by vet().
  void build(const TuneCell& cell, std::span<const LaunchConfig> space);

  /// What becomes of configs whose kernels have been built. Of a config that was vetted before for
  /// the spec, what became of it then.
  std::vector<Vetting> vet(const TuneCell& cell, std::span<const LaunchConfig> configs);

 private:
  struct Known {
    LaunchConfig config;
    Vetting vetting;
  };

  void forget_other_specs(const RopeSpec& spec);
  Vetting build_one(const TuneCell& cell, const LaunchConfig& config) const;
  Vetting vet_one(const TuneCell& cell, const LaunchConfig& config) const;

  Runtime& runtime_;
  const int device_;
  Executor& executor_;
  const unsigned threads_;
  std::optional<RopeSpec> spec_;  ///< that the rest is of
  std::vector<Known> kernels_;    ///< by any config of theirs
  std::vector<Known> vetted_;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_VETTING_H_
