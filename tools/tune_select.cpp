#include "tools/tune_select.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <utility>

#include "tools/signed_rank.h"

namespace ropejit {
namespace {

constexpr SimplicityCriterion kCriteria[] = {
    {"streaming_stores",
     [](const LaunchConfig& config) { return config.streaming_stores ? 1 : 0; }},
    {"pairing", [](const LaunchConfig& config) { return static_cast<int>(config.pairing); }},
    {"heads_per_thread", [](const LaunchConfig& config) { return config.heads_per_thread; }},
    {"access_bytes", [](const LaunchConfig& config) { return -config.access_bytes; }},
    {"distance_from_128_threads",
     [](const LaunchConfig& config) { return std::abs(config.block_threads - 128); }},
    {"block_threads", [](const LaunchConfig& config) { return config.block_threads; }},
};

/// A finalist's combined times by round.
struct Finalist {
  LaunchConfig config;
  std::map<int, double> times;
};

std::vector<Finalist> finalists_of(const CellRecord& record) {
  std::vector<Finalist> finalists;
  for (const Candidate& candidate : record.candidates) {
    Finalist finalist{candidate.config, {}};
    for (const TimedRound& timed : candidate.rounds) {
      if (timed.round >= record.final_from) {
        finalist.times[timed.round] = timed.times.combined_us();
      }
    }
    if (!finalist.times.empty()) finalists.push_back(std::move(finalist));
  }
  return finalists;
}

double center(const std::map<int, double>& times) {
  std::vector<double> values;
  for (const auto& [round, us] : times) values.push_back(us);
  return center_interval(values).center;
}

/// How the logarithm of a finalist's time differs from another's, round by round; infinite if they
/// never met.
CenterInterval log_ratio(const Finalist& finalist, const Finalist& other) {
  std::vector<double> logs;
  for (const auto& [round, us] : finalist.times) {
    const auto found = other.times.find(round);
    if (found != other.times.end()) logs.push_back(std::log(us / found->second));
  }
  constexpr double kUnknown = std::numeric_limits<double>::infinity();
  return logs.empty() ? CenterInterval{kUnknown, kUnknown, kUnknown} : center_interval(logs);
}

/// By comparison with one that took part in the most rounds, so that what drifts from round to
/// round favours nobody.
const Finalist& fastest_of(const std::vector<Finalist>& finalists) {
  const Finalist& pivot = *std::max_element(
      finalists.begin(), finalists.end(),
      [](const Finalist& a, const Finalist& b) { return a.times.size() < b.times.size(); });
  std::vector<double> ratios;
  for (const Finalist& finalist : finalists) ratios.push_back(log_ratio(finalist, pivot).center);
  return finalists[static_cast<std::size_t>(std::min_element(ratios.begin(), ratios.end()) -
                                            ratios.begin())];
}

Standing standing_of(const Finalist& finalist, const Finalist& fastest, double fastest_us) {
  const CenterInterval ratio = log_ratio(finalist, fastest);
  Standing standing{finalist.config, std::expm1(ratio.center), std::expm1(ratio.low),
                    std::expm1(ratio.high)};
  standing.us = fastest_us * (1 + standing.excess);
  return standing;
}

const Standing& preferred(const std::vector<Standing>& all, const Preference& before) {
  const Standing* chosen = &all.front();
  for (const Standing& standing : all) {
    if (standing.as_fast() && before(standing.config, chosen->config)) chosen = &standing;
  }
  return *chosen;
}

}  // namespace

bool Preference::operator()(const LaunchConfig& a, const LaunchConfig& b) const {
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  return simpler(a, b);
}

int Preference::rank(const LaunchConfig& config) const {
  if (incumbent_ && config == *incumbent_) return 0;
  if (config == given_) return 1;
  return share_kernel(config, incumbent_.value_or(given_)) ? 2 : 3;
}

std::span<const SimplicityCriterion> simplicity_criteria() { return kCriteria; }

bool simpler(const LaunchConfig& a, const LaunchConfig& b) noexcept {
  for (const SimplicityCriterion& criterion : kCriteria) {
    if (criterion.value(a) != criterion.value(b)) return criterion.value(a) < criterion.value(b);
  }
  return false;
}

std::vector<Standing> standings(const CellRecord& record) {
  const std::vector<Finalist> finalists = finalists_of(record);
  std::vector<Standing> all;
  if (finalists.empty()) return all;
  const Finalist& fastest = fastest_of(finalists);
  const double fastest_us = center(fastest.times);
  for (const Finalist& finalist : finalists) {
    all.push_back(standing_of(finalist, fastest, fastest_us));
    if (record.incumbent == finalist.config) all.back().tolerated = kDisplaced;
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Standing& a, const Standing& b) { return a.excess < b.excess; });
  return all;
}

std::optional<Choice> choose(const CellRecord& record) {
  const std::vector<Standing> all = standings(record);
  if (all.empty()) return std::nullopt;
  const LaunchConfig given = default_config(record.spec, record.tokens);
  const Standing& chosen = preferred(all, Preference(given, record.incumbent));
  Choice choice{chosen.config,          chosen.us,
                all.front().us,         0,
                chosen.config == given, record.incumbent == chosen.config};
  for (const Standing& standing : all) {
    if (standing.config == given) choice.default_us = standing.us;
  }
  return choice;
}

std::vector<LaunchConfig> undecided(const CellRecord& record) {
  const std::vector<Standing> all = standings(record);
  if (all.empty()) return {};
  const Preference before(default_config(record.spec, record.tokens), record.incumbent);
  const LaunchConfig chosen = preferred(all, before).config;
  std::vector<LaunchConfig> open;
  for (const Standing& standing : all) {
    if (standing.unclear() && !before(chosen, standing.config)) open.push_back(standing.config);
  }
  if (open.empty()) return {};
  if (std::find(open.begin(), open.end(), all.front().config) == open.end()) {
    open.push_back(all.front().config);
  }
  return open;
}

}  // namespace ropejit
