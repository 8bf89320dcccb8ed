#include "tools/tune_vetting.h"

#include <algorithm>
#include <chrono>
#include <exception>

#include "ropejit/error.h"
#include "src/for_each_index.h"
#include "tools/case_positions.h"
#include "tools/verify.h"

namespace ropejit {
namespace {

using Time = std::chrono::steady_clock::time_point;

Time now() { return std::chrono::steady_clock::now(); }

double milliseconds_since(Time start) {
  return std::chrono::duration<double, std::milli>(now() - start).count();
}

/// A small call that fills no block exactly.
VerifyCase small_case(const TuneCell& cell, const LaunchConfig& config) {
  VerifyCase test;
  test.spec = cell.spec;
  test.frequencies = cell.frequencies;
  test.config = config;
  test.batch = 2;
  test.seq = 7;
  test.in_place = true;  // which is carried out out of place as well
  set_positions(test, 131071);
  return test;
}

/// Has another executor do the work, and remembers whether the driver refused it.
class WatchedExecutor : public Executor {
 public:
  explicit WatchedExecutor(Executor& executor) : executor_(executor) {}
  void execute(const VerifyCase& test, const RopeArgs& args, std::span<Block> blocks) override {
    try {
      executor_.execute(test, args, blocks);
    } catch (const Error& error) {
      refused_ = error.code() == ErrorCode::driver;
      throw;
    }
  }
  std::vector<LaunchConfig> configs(const RopeSpec& spec) override {
    return executor_.configs(spec);
  }
  bool refused() const noexcept { return refused_; }

 private:
  Executor& executor_;
  bool refused_ = false;
};

template <typename All, typename Same>
auto find(All& all, Same same) {
  return std::find_if(all.begin(), all.end(),
                      [&](const auto& known) { return same(known.config); });
}

}  // namespace

void CandidateCheck::forget_other_specs(const RopeSpec& spec) {
  if (spec_ == spec) return;
  kernels_.clear();
  vetted_.clear();
  spec_ = spec;
}

Vetting CandidateCheck::build_one(const TuneCell& cell, const LaunchConfig& config) const {
  const Time start = now();
  Vetting vetting;
  try {
    runtime_.rope(cell.spec, cell.frequencies, device_, config);
  } catch (const Error& error) {
    const bool compiles = error.code() == ErrorCode::compile_failed;
    if (compiles && !runtime_.stats().nvrtc_opened) throw;
    if (!compiles && error.code() != ErrorCode::driver) throw;
    vetting.verdict = compiles ? Verdict::compile : Verdict::runtime;
    vetting.message = error.what();
  }
  vetting.compile_ms = milliseconds_since(start);
  return vetting;
}

void CandidateCheck::build(const TuneCell& cell, std::span<const LaunchConfig> space) {
  forget_other_specs(cell.spec);
  const std::size_t built = kernels_.size();
  for (const LaunchConfig& config : space) {
    const auto same = [&](const LaunchConfig& other) { return share_kernel(config, other); };
    if (find(kernels_, same) == kernels_.end()) kernels_.push_back({config, {}});
  }
  try {
    for_each_index(kernels_.size() - built, threads_, [&](std::size_t i) {
      Known& kernel = kernels_[built + i];
      kernel.vetting = build_one(cell, kernel.config);
    });
  } catch (...) {
    kernels_.resize(built);
    throw;
  }
}

Vetting CandidateCheck::vet_one(const TuneCell& cell, const LaunchConfig& config) const {
  const auto same = [&](const LaunchConfig& other) { return share_kernel(config, other); };
  Vetting vetting = find(kernels_, same)->vetting;
  if (vetting.verdict != Verdict::correct) return vetting;
  const Time start = now();
  WatchedExecutor executor(executor_);
  const CaseResult result = run_case(small_case(cell, config), executor);
  if (!result.passed) {
    vetting.verdict = executor.refused() ? Verdict::runtime : Verdict::correctness;
    vetting.message = result.message;
  }
  vetting.verify_ms = milliseconds_since(start);
  return vetting;
}

std::vector<Vetting> CandidateCheck::vet(const TuneCell& cell,
                                         std::span<const LaunchConfig> configs) {
  build(cell, configs);
  const auto known = [&](const LaunchConfig& config) {
    return find(vetted_, [&](const LaunchConfig& other) { return other == config; });
  };
  std::vector<Known> fresh;
  for (const LaunchConfig& config : configs) {
    if (known(config) == vetted_.end()) fresh.push_back({config, {}});
  }
  for_each_index(fresh.size(), threads_,
                 [&](std::size_t i) { fresh[i].vetting = vet_one(cell, fresh[i].config); });
  vetted_.insert(vetted_.end(), fresh.begin(), fresh.end());
  std::vector<Vetting> vettings;
  for (const LaunchConfig& config : configs) vettings.push_back(known(config)->vetting);
  return vettings;
}

}  // namespace ropejit
