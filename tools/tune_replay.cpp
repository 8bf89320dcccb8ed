#include "tools/tune_replay.h"

#include <fmt/format.h>

#include <algorithm>

#include "ropejit/error.h"
#include "tools/signed_rank.h"

namespace ropejit {
namespace {

std::string describe_cell(const TuneCell& cell) {
  return fmt::format("{}, {} tokens", describe(cell.spec), cell.tokens);
}

const CellRecord& record_of(const Recording& recording, const TuneCell& cell) {
  if (const CellRecord* found = recording.find(cell.spec, cell.tokens)) return *found;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: not in the recording", describe_cell(cell)));
}

const Candidate* find(const CellRecord& record, const LaunchConfig& config) {
  const auto found =
      std::find_if(record.candidates.begin(), record.candidates.end(),
                   [&](const Candidate& candidate) { return candidate.config == config; });
  return found == record.candidates.end() ? nullptr : &*found;
}

const Candidate& candidate_of(const Recording& recording, const TuneCell& cell,
                              const LaunchConfig& config) {
  if (const Candidate* found = find(record_of(recording, cell), config)) return *found;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: {}: not in the recording", describe_cell(cell), describe(config)));
}

}  // namespace

std::vector<LaunchConfig> ReplayMeasurer::space(const TuneCell& cell) {
  const CellRecord& record = record_of(recording_, cell);
  candidate_of(recording_, cell, default_config(cell.spec, cell.tokens));
  std::vector<LaunchConfig> configs;
  for (const Candidate& candidate : record.candidates) {
    if (candidate.vetting.verdict != Verdict::correct || !candidate.rounds.empty()) {
      configs.push_back(candidate.config);
    }
  }
  return configs;
}

std::vector<Vetting> ReplayMeasurer::vet(const TuneCell& cell,
                                         std::span<const LaunchConfig> configs) {
  std::vector<Vetting> vettings;
  for (const LaunchConfig& config : configs) {
    vettings.push_back(candidate_of(recording_, cell, config).vetting);
  }
  return vettings;
}

std::vector<CallTimes> ReplayMeasurer::measure(const TuneCell& cell,
                                               std::span<const LaunchConfig> configs) {
  if (const CellRecord* record = &record_of(recording_, cell); record != cell_) {
    cell_ = record;
    random_.seed(seed_);
  }
  const std::uint64_t drawn = random_();
  std::vector<CallTimes> times;
  for (const LaunchConfig& config : configs) {
    const std::vector<TimedRound>& recorded = candidate_of(recording_, cell, config).rounds;
    times.push_back(recorded.at(drawn % recorded.size()).times);
  }
  return times;
}

double recorded_us(const Candidate& candidate) {
  std::vector<double> values;
  for (const TimedRound& timed : candidate.rounds) values.push_back(timed.times.combined_us());
  return center_interval(values).center;
}

}  // namespace ropejit
