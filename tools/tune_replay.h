#ifndef ROPEJIT_TOOLS_TUNE_REPLAY_H_
#define ROPEJIT_TOOLS_TUNE_REPLAY_H_

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "tools/tune_measurer.h"
#include "tools/tune_record.h"

namespace ropejit {

/// Gives the times of a recording, without a device. Each round is one of the recorded rounds,
/// drawn at random, the same for all configs. What is drawn in a cell does not depend on the cells
/// before it.
class ReplayMeasurer : public Measurer {
 public:
  /// Borrows `recording`; `seed` decides which rounds are drawn.
  ReplayMeasurer(const Recording& recording, std::uint64_t seed)
      : recording_(recording), seed_(seed) {}

  /// What was timed, or tried and rejected. Throws Error(invalid_argument) for a cell that was not
  /// recorded, or without its default config.
  std::vector<LaunchConfig> space(const TuneCell& cell) override;
  std::vector<Vetting> vet(const TuneCell& cell, std::span<const LaunchConfig> configs) override;
  std::vector<CallTimes> measure(const TuneCell& cell,
                                 std::span<const LaunchConfig> configs) override;

 private:
  const Recording& recording_;
  const std::uint64_t seed_;
  const CellRecord* cell_ = nullptr;  ///< that was measured last
  std::mt19937_64 random_;
};

/// The combined time of a recorded config, by all of its rounds; it must have one.
double recorded_us(const Candidate& candidate);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_REPLAY_H_
