#include "tools/tune_search.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "tools/order_statistics.h"
#include "tools/tune_select.h"

namespace ropejit {
namespace {

using Clock = std::chrono::steady_clock;
using Indices = std::vector<std::size_t>;  // of candidates

// Parts of the budget, summed up.
constexpr double kExplored = 0.5;
constexpr double kHalved = 0.7;
constexpr std::size_t kMostExplored = 120;  ///< candidates, where not all can be tried
constexpr std::size_t kRestartKernels = 4;  ///< tried at once
constexpr std::size_t kMostHalved = 48;     ///< candidates that the halving begins with
constexpr int kRoundsPerHalving = 2;
constexpr std::size_t kFinalists = 12;
constexpr std::size_t kFastestKept = 3;  ///< whatever they are
/// A candidate that was slower by no more than this in the first rounds may be as fast after all.
constexpr double kNear = 2 * kDifferent;
constexpr std::size_t kLeastFinalRounds = 3;
constexpr int kFirstLook = 24;  ///< after so many final rounds, then after twice as many each time
constexpr int kMostFinalRounds = 400;

class Search {
 public:
  Search(const TuneCell& cell, Measurer& measurer, const SearchStart& start,
         const SearchOptions& options, const std::atomic<bool>& stop)
      : cell_(cell),
        measurer_(measurer),
        options_(options),
        stop_(stop),
        random_(options.seed),
        before_(default_config(cell.spec, cell.tokens), cell.incumbent) {
    record_.spec = cell.spec;
    record_.tokens = cell.tokens;
    record_.incumbent = cell.incumbent;
    space_ = measurer.space(cell);
    first_ = {default_config(cell.spec, cell.tokens)};
    for (const std::optional<LaunchConfig>& known : {cell.incumbent, start.neighbour}) {
      if (known && contains(space_, *known) && !contains(first_, *known)) first_.push_back(*known);
    }
    record_.candidates = start.rejected;
  }

  CellRecord run() {
    measurer_.vet(cell_, {});  // compiles what the cell needs, which is no part of the budget
    start_ = Clock::now();
    explore();
    compare(halve(by_estimate()));
    record_.complete = !stop_;
    return std::move(record_);
  }

 private:
  static bool contains(const std::vector<LaunchConfig>& configs, const LaunchConfig& config) {
    return std::find(configs.begin(), configs.end(), config) != configs.end();
  }
  Candidate& at(std::size_t index) { return record_.candidates[index]; }
  bool tried(const LaunchConfig& config) const {
    return std::any_of(record_.candidates.begin(), record_.candidates.end(),
                       [&](const Candidate& candidate) { return candidate.config == config; });
  }

  /// The part of the budget that is spent; 1 and more: all of it.
  double used() const {
    if (stop_) return 1;
    const double measured = static_cast<double>(measurements_) / options_.measurements;
    if (options_.seconds <= 0) return measured;
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    return std::max(measured, elapsed.count() / options_.seconds);
  }
  /// Measurements up to where `part` of the budget is spent.
  std::size_t left_until(double part) const {
    const double most = part * options_.measurements;
    const auto measured = static_cast<double>(measurements_);
    return most > measured ? static_cast<std::size_t>(std::ceil(most - measured)) : 0;
  }

  /// Vets configs that were not tried yet. Returns those that may be timed.
  Indices add(const std::vector<LaunchConfig>& configs) {
    const std::vector<Vetting> vettings = measurer_.vet(cell_, configs);
    Indices usable;
    for (std::size_t i = 0; i < configs.size(); ++i) {
      if (vettings[i].verdict == Verdict::correct) usable.push_back(record_.candidates.size());
      record_.candidates.push_back({configs[i], vettings[i], {}, 0});
    }
    return usable;
  }

  /// One round, each beginning with another of the candidates. Whoever fails leaves the search.
  void time_round(Indices indices) {
    while (!stop_) {
      std::erase_if(indices, [&](std::size_t index) { return rejected(index); });
      if (indices.empty()) return;
      try {
        return time_once(indices);
      } catch (const MeasureFailure& failure) {
        reject(failure);
      }
    }
  }

  bool rejected(std::size_t index) const {
    return record_.candidates[index].vetting.verdict != Verdict::correct;
  }

  void reject(const MeasureFailure& failure) {
    for (Candidate& candidate : record_.candidates) {
      if (candidate.config != failure.config()) continue;
      candidate.vetting.verdict = Verdict::runtime;
      candidate.vetting.message = failure.what();
      candidate.rounds.clear();
    }
  }

  void time_once(Indices indices) {
    const auto first = static_cast<std::size_t>(round_) % indices.size();
    std::rotate(indices.begin(), indices.begin() + static_cast<std::ptrdiff_t>(first),
                indices.end());
    std::vector<LaunchConfig> configs;
    for (const std::size_t index : indices) configs.push_back(at(index).config);
    const auto before = Clock::now();
    const std::vector<CallTimes> times = measurer_.measure(cell_, configs);
    const std::chrono::duration<double, std::milli> elapsed = Clock::now() - before;
    for (std::size_t i = 0; i < indices.size(); ++i) {
      at(indices[i]).rounds.push_back({round_, times[i]});
      at(indices[i]).measure_ms += elapsed.count() / static_cast<double>(indices.size());
    }
    measurements_ += indices.size();
    ++round_;
  }

  double estimate(std::size_t index) const {
    std::vector<double> values;
    for (const TimedRound& timed : record_.candidates[index].rounds) {
      values.push_back(timed.times.combined_us());
    }
    return median_interval(std::move(values)).median;
  }
  /// The candidates that were timed, fastest first.
  Indices by_estimate() const {
    std::vector<std::pair<double, std::size_t>> ranked;
    for (std::size_t i = 0; i < record_.candidates.size(); ++i) {
      if (!record_.candidates[i].rounds.empty()) ranked.emplace_back(estimate(i), i);
    }
    std::sort(ranked.begin(), ranked.end());
    Indices order;
    for (const auto& [us, index] : ranked) order.push_back(index);
    return order;
  }

  bool may_explore() const { return used() < kExplored && explored_ < kMostExplored; }

  /// Times configs once. Returns the index of the fastest of them; nothing if none could be timed.
  std::optional<std::size_t> try_once(std::vector<LaunchConfig> configs) {
    if (stop_) return std::nullopt;
    std::erase_if(configs, [&](const LaunchConfig& config) { return tried(config); });
    configs.resize(std::min(configs.size(), left_until(kExplored)));
    Indices added = add(configs);
    explored_ += added.size();
    time_round(added);
    std::erase_if(added, [&](std::size_t index) { return rejected(index); });
    if (added.empty() || stop_) return std::nullopt;
    return *std::min_element(added.begin(), added.end(), [&](std::size_t a, std::size_t b) {
      return estimate(a) < estimate(b);
    });
  }

  void explore() {
    if (options_.exhaustive) {
      const Indices all = add(space_);
      for (int i = 0; i < options_.exhaustive_rounds; ++i) time_round(all);
      return;
    }
    std::optional<std::size_t> start = try_once(first_);
    if (space_.size() <= left_until(kExplored)) {
      try_once(space_);
      return;
    }
    while (may_explore()) {
      if (start) descend(*start);
      const std::vector<LaunchConfig> fresh = restart();
      if (fresh.empty()) return;
      start = try_once(fresh);
    }
  }

  /// Goes to the fastest neighbour as long as that is faster.
  void descend(std::size_t here) {
    while (may_explore()) {
      const std::optional<std::size_t> next = try_once(neighbours(at(here).config, space_));
      if (!next || estimate(*next) >= estimate(here)) return;
      here = *next;
    }
  }

  /// Where to go on when a descent has ended: some of the kernels that no tried config has, else
  /// some config that was not tried.
  std::vector<LaunchConfig> restart() {
    std::vector<LaunchConfig> fresh;
    for (const LaunchConfig& config : space_) {
      if (!tried(config)) fresh.push_back(config);
    }
    std::shuffle(fresh.begin(), fresh.end(), random_);
    std::vector<LaunchConfig> unknown;
    for (const LaunchConfig& config : fresh) {
      const auto same = [&](const auto& other) { return share_kernel(config, other); };
      const bool known = std::any_of(record_.candidates.begin(), record_.candidates.end(),
                                     [&](const Candidate& other) { return same(other.config); });
      if (!known && std::none_of(unknown.begin(), unknown.end(), same)) unknown.push_back(config);
    }
    if (unknown.empty()) unknown = fresh;
    unknown.resize(std::min(unknown.size(), kRestartKernels));
    return unknown;
  }

  /// Rounds between the best, half of which go each time.
  Indices halve(Indices best) {
    best = by_promise(best);
    best.resize(std::min(best.size(), kMostHalved));
    while (best.size() > kFinalists) {
      for (int i = 0; i < kRoundsPerHalving && used() < kHalved; ++i) {
        Indices affordable = best;
        affordable.resize(std::min(best.size(), left_until(kHalved)));
        time_round(affordable);
      }
      best = by_promise(best);
      best.resize(std::max(best.size() / 2, kFinalists));
    }
    return best;
  }

  /// Candidates in the order in which they should stay: the fastest few, which say how fast is
  /// fast; then those that may be as fast, by preference, since the choice is the most preferred of
  /// them; then the others, fastest first.
  Indices by_promise(const Indices& candidates) const {
    Indices order;
    for (const std::size_t index : by_estimate()) {
      if (std::find(candidates.begin(), candidates.end(), index) != candidates.end()) {
        order.push_back(index);
      }
    }
    if (order.size() <= kFastestKept) return order;
    const double near = estimate(order.front()) * (1 + kNear);
    const auto from = order.begin() + kFastestKept;
    const auto to =
        std::find_if(from, order.end(), [&](std::size_t index) { return estimate(index) > near; });
    std::sort(from, to, [&](std::size_t a, std::size_t b) {
      return before_(record_.candidates[a].config, record_.candidates[b].config);
    });
    return order;
  }

  /// The first configs and the fastest others, as many as the rest of the budget can compare.
  Indices choose_finalists(const Indices& best) const {
    Indices finalists;
    for (std::size_t i = 0; i < record_.candidates.size(); ++i) {
      const Candidate& candidate = record_.candidates[i];
      if (contains(first_, candidate.config) && !candidate.rounds.empty()) finalists.push_back(i);
    }
    const std::size_t most = options_.exhaustive ? kFinalists : left_until(1) / kLeastFinalRounds;
    for (const std::size_t index : best) {
      // Not even the smallest budget leaves the default without something to compare it with.
      if (finalists.size() >= std::max<std::size_t>(most, 2)) break;
      if (std::find(finalists.begin(), finalists.end(), index) == finalists.end()) {
        finalists.push_back(index);
      }
    }
    return finalists;
  }

  /// The final rounds. Who is clearly slower, or clearly as fast, leaves.
  void compare(const Indices& best) {
    Indices finalists = choose_finalists(best);
    record_.final_from = round_;
    int look = kFirstLook;
    for (int i = 0; i < kMostFinalRounds && !stop_; ++i) {
      if (i > 0 && used() >= 1 && !options_.exhaustive) return;
      if (i == look) {
        look *= 2;
        finalists = indices_of(undecided(record_));
        if (finalists.empty()) return;
      }
      time_round(finalists);
    }
  }

  /// Of tried configs.
  Indices indices_of(const std::vector<LaunchConfig>& configs) const {
    Indices indices;
    for (std::size_t i = 0; i < record_.candidates.size(); ++i) {
      if (contains(configs, record_.candidates[i].config)) indices.push_back(i);
    }
    return indices;
  }

  const TuneCell& cell_;
  Measurer& measurer_;
  const SearchOptions& options_;
  const std::atomic<bool>& stop_;
  Clock::time_point start_ = Clock::now();
  std::mt19937_64 random_;
  const Preference before_;
  std::vector<LaunchConfig> space_;
  std::vector<LaunchConfig> first_;  ///< the default, the incumbent and the neighbour's
  CellRecord record_;
  std::size_t explored_ = 0;
  std::size_t measurements_ = 0;
  int round_ = 0;
};

}  // namespace

CellRecord search_cell(const TuneCell& cell, Measurer& measurer, const SearchStart& start,
                       const SearchOptions& options, const std::atomic<bool>& stop) {
  return Search(cell, measurer, start, options, stop).run();
}

}  // namespace ropejit
