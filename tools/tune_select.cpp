#include "tools/tune_select.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <utility>

#include "tools/signed_rank.h"

namespace ropejit {
namespace {

constexpr SimplicityCriterion kCriteria[] = {
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

/// Among those that took part in the most rounds: the others left because they are slower, or not
/// slower by more than what makes no difference.
const Finalist& fastest_of(const std::vector<Finalist>& finalists) {
  return *std::min_element(finalists.begin(), finalists.end(),
                           [](const Finalist& a, const Finalist& b) {
                             if (a.times.size() != b.times.size()) {
                               return a.times.size() > b.times.size();
                             }
                             return center(a.times) < center(b.times);
                           });
}

Standing standing_of(const Finalist& finalist, const Finalist& fastest, double fastest_us) {
  std::vector<double> logs;
  for (const auto& [round, us] : finalist.times) {
    const auto other = fastest.times.find(round);
    if (other != fastest.times.end()) logs.push_back(std::log(us / other->second));
  }
  const CenterInterval ratio = center_interval(logs);
  Standing standing{finalist.config, std::expm1(ratio.center), std::expm1(ratio.low),
                    std::expm1(ratio.high)};
  standing.us = fastest_us * (1 + standing.excess);
  standing.rounds = static_cast<int>(logs.size());
  return standing;
}

/// A config that may be chosen for a cell, and the cheapest way to get there from the first cell.
struct Option {
  Standing standing;
  int kernel_changes = 0;
  int config_changes = 0;
  int simplicity = 0;  ///< sum of the ranks
  std::size_t from = 0;

  bool cheaper_than(const Option& other) const noexcept {
    if (kernel_changes != other.kernel_changes) return kernel_changes < other.kernel_changes;
    if (config_changes != other.config_changes) return config_changes < other.config_changes;
    return simplicity < other.simplicity;
  }
};

/// What may be chosen for a cell, simplest first.
std::vector<Option> options_for(const CellRecord& record) {
  const LaunchConfig given = default_config(record.spec, record.tokens);
  std::vector<Option> options;
  for (const Standing& standing : standings(record)) {
    if (!standing.as_fast()) continue;
    if (standing.config == given) return {Option{standing}};
    options.push_back(Option{standing});
  }
  if (options.empty()) options.push_back(Option{Standing{given}});
  std::sort(options.begin(), options.end(), [](const Option& a, const Option& b) {
    return simpler(a.standing.config, b.standing.config);
  });
  for (std::size_t i = 0; i < options.size(); ++i) options[i].simplicity = static_cast<int>(i);
  return options;
}

/// Continues the cheapest of the ways to `before`.
void connect(Option& option, const std::vector<Option>& before) {
  const int rank = option.simplicity;
  Option cheapest;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const LaunchConfig& last = before[i].standing.config;
    const LaunchConfig& next = option.standing.config;
    Option way = before[i];
    way.kernel_changes += share_kernel(last, next) ? 0 : 1;
    way.config_changes += last == next ? 0 : 1;
    way.simplicity += rank;
    way.from = i;
    if (i == 0 || way.cheaper_than(cheapest)) cheapest = way;
  }
  cheapest.standing = option.standing;
  option = cheapest;
}

std::size_t index_of_cheapest(const std::vector<Option>& options) {
  const auto cheapest =
      std::min_element(options.begin(), options.end(),
                       [](const Option& a, const Option& b) { return a.cheaper_than(b); });
  return static_cast<std::size_t>(cheapest - options.begin());
}

Choice choice_of(const CellRecord& record, const Standing& chosen) {
  const LaunchConfig given = default_config(record.spec, record.tokens);
  Choice choice{chosen.config, chosen.us, chosen.us, 0, chosen.config == given};
  const std::vector<Standing> all = standings(record);
  if (!all.empty()) choice.best_us = all.front().us;
  for (const Standing& standing : all) {
    if (standing.config == given) choice.default_us = standing.us;
  }
  return choice;
}

}  // namespace

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
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Standing& a, const Standing& b) { return a.excess < b.excess; });
  return all;
}

std::vector<Choice> choose(std::span<const CellRecord> cells) {
  std::vector<std::vector<Option>> options;
  for (const CellRecord& cell : cells) {
    options.push_back(options_for(cell));
    if (options.size() == 1) continue;
    for (Option& option : options.back()) connect(option, options[options.size() - 2]);
  }
  std::vector<Choice> choices(cells.size());
  std::size_t at = options.empty() ? 0 : index_of_cheapest(options.back());
  for (std::size_t i = cells.size(); i-- > 0;) {
    choices[i] = choice_of(cells[i], options[i][at].standing);
    at = options[i][at].from;
  }
  return choices;
}

}  // namespace ropejit
