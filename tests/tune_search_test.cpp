// The search on a made-up device (tests/simulated_device.h), whose true times are known.

#include "tools/tune_search.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/random_search.h"
#include "tests/simulated_device.h"
#include "tools/tune_select.h"

namespace ropejit {
namespace {

constexpr SimulatedNoise kNoNoise{0, 0, 0, 0};
const std::atomic<bool> kGoOn{false};

CellRecord search(const TuneCell& cell, Measurer& measurer, const SearchOptions& options,
                  const std::optional<LaunchConfig>& neighbour = std::nullopt) {
  return search_cell(cell, measurer, {neighbour, {}}, options, kGoOn);
}

SearchOptions budget(int measurements, std::uint64_t seed = 1) {
  SearchOptions options;
  options.measurements = measurements;
  options.seed = seed;
  return options;
}

std::size_t timed_configs(const CellRecord& record) {
  return static_cast<std::size_t>(
      std::count_if(record.candidates.begin(), record.candidates.end(),
                    [](const Candidate& candidate) { return !candidate.rounds.empty(); }));
}

bool is_finalist(const CellRecord& record, const LaunchConfig& config) {
  const std::vector<Standing> all = standings(record);
  return std::any_of(all.begin(), all.end(),
                     [&](const Standing& standing) { return standing.config == config; });
}

double excess(const TuneCell& cell, const LaunchConfig& config) {
  const std::vector<LaunchConfig> space = SimulatedMeasurer(1).space(cell);
  return simulated_us(cell.spec, cell.tokens, config) / simulated_best_us(cell, space) - 1;
}

}  // namespace

TEST_CASE("no search measures more than its budget, but for a round of two") {
  for (const int measurements : {2, 5, 8, 16, 33, 64, 128, 300, 800}) {
    CAPTURE(measurements);
    SimulatedMeasurer device(3);
    const CellRecord record = search(simulated_cell(0, 256), device, budget(measurements));
    const std::size_t most = static_cast<std::size_t>(measurements) + (measurements < 16 ? 2 : 10);
    CHECK(device.timed.size() <= most);
    CHECK(record.complete);
    CHECK(choose(record).has_value());
  }
}

TEST_CASE("the same seed and times give the same search, another seed another") {
  const TuneCell cell = simulated_cell(0, 256);
  SimulatedMeasurer first(3), second(3), third(3);
  const CellRecord a = search(cell, first, budget(100, 1));
  const CellRecord b = search(cell, second, budget(100, 1));
  const CellRecord c = search(cell, third, budget(100, 2));
  CHECK(first.timed == second.timed);
  CHECK(first.timed != third.timed);
  CHECK(choose(a)->config == choose(b)->config);
}

TEST_CASE("without noise the search ends close to the best of the space") {
  for (const std::int64_t tokens : {1, 64, 1024, 65536}) {
    for (int shape = 0; shape < 4; ++shape) {
      const TuneCell cell = simulated_cell(shape, tokens);
      SimulatedMeasurer device(1, kNoNoise);
      const CellRecord record = search(cell, device, budget(400));
      CAPTURE(tokens);
      CAPTURE(shape);
      CHECK(excess(cell, standings(record).front().config) < 0.001);
      CHECK(excess(cell, choose(record)->config) <= 0.001 + kIndifferent);
      // All of it where half the budget suffices; else little more than is explored.
      const std::size_t space = device.space(cell).size();
      if (space <= 200) {
        CHECK(timed_configs(record) == space);
      } else {
        CHECK(timed_configs(record) <= 130);
      }
    }
  }
}

TEST_CASE("the default and the neighbour's choice are measured first, and are finalists") {
  const TuneCell cell = simulated_cell(0, 4096);
  const LaunchConfig neighbour{512, 4, Pairing::registers, 1};  // slow here
  for (const int measurements : {8, 64, 400}) {
    SimulatedMeasurer device(2);
    const CellRecord record = search(cell, device, budget(measurements), neighbour);
    CHECK(record.candidates[0].config == default_config(cell.spec, cell.tokens));
    CHECK(record.candidates[1].config == neighbour);
    CHECK(is_finalist(record, record.candidates[0].config));
    CHECK(is_finalist(record, neighbour));
  }
}

TEST_CASE("a neighbour's choice that is no config of the cell is left out") {
  SimulatedMeasurer device(2);
  const LaunchConfig idle{512, 16, Pairing::registers, 4};
  const CellRecord record = search(simulated_cell(0, 1), device, budget(64), idle);
  for (const Candidate& candidate : record.candidates) CHECK(candidate.config != idle);
}

TEST_CASE("configs that fail vetting are recorded with the reason, and never timed") {
  const TuneCell cell = simulated_cell(0, 4096);
  SimulatedMeasurer device(2);
  device.verdict = [](const LaunchConfig& config) {
    return config.heads_per_thread == 1 ? Vetting{Verdict::correctness, "wrong", 1, 1} : Vetting{};
  };
  REQUIRE(default_config(cell.spec, cell.tokens).heads_per_thread == 1);
  const CellRecord record = search(cell, device, budget(400));
  std::size_t rejected = 0;
  for (const Candidate& candidate : record.candidates) {
    if (candidate.config.heads_per_thread != 1) continue;
    CHECK(candidate.vetting.verdict == Verdict::correctness);
    CHECK(candidate.vetting.message == "wrong");
    CHECK(candidate.rounds.empty());
    ++rejected;
  }
  CHECK(rejected > 5);
  for (const LaunchConfig& config : device.timed) CHECK(config.heads_per_thread != 1);
  CHECK(choose(record)->config.heads_per_thread != 1);
  CHECK(choose(record)->default_us == 0);
}

TEST_CASE("a config that fails while it is timed leaves the search, and the others go on") {
  SimulatedMeasurer device(2);
  device.before_round = [&](const TuneCell&, std::span<const LaunchConfig> configs) {
    for (const LaunchConfig& config : configs) {
      if (config.block_threads == 128 && device.rounds > 2) throw MeasureFailure(config, "crashed");
    }
  };
  const TuneCell cell = simulated_cell(0, 4096);
  const CellRecord record = search(cell, device, budget(400));
  CHECK(record.complete);
  int failed = 0;
  for (const Candidate& candidate : record.candidates) {
    if (candidate.vetting.verdict == Verdict::correct) continue;
    CHECK(candidate.vetting.verdict == Verdict::runtime);
    CHECK(candidate.vetting.message == "crashed");
    CHECK(candidate.config.block_threads == 128);
    CHECK(candidate.rounds.empty());
    ++failed;
  }
  CHECK(failed > 2);
  CHECK(choose(record)->config.block_threads != 128);
}

TEST_CASE("configs that failed before are not tried again") {
  const TuneCell cell = simulated_cell(0, 4096);
  Candidate broken;
  broken.config = default_config(cell.spec, cell.tokens);
  broken.vetting = {Verdict::runtime, "crashed", 0, 0};
  class Strict : public SimulatedMeasurer {
   public:
    using SimulatedMeasurer::SimulatedMeasurer;
    std::vector<Vetting> vet(const TuneCell& cell, std::span<const LaunchConfig> configs) override {
      for (const LaunchConfig& config : configs) {
        CHECK(config != default_config(cell.spec, cell.tokens));
      }
      return SimulatedMeasurer::vet(cell, configs);
    }
  };
  Strict device(2);
  const CellRecord record = search_cell(cell, device, {{}, {broken}}, budget(100), kGoOn);
  CHECK(record.candidates.front() == broken);
  CHECK(choose(record).has_value());
}

TEST_CASE("where every config fails, the search ends without a choice") {
  SimulatedMeasurer device(2);
  device.verdict = [](const LaunchConfig&) { return Vetting{Verdict::compile, "no", 1, 0}; };
  const TuneCell cell = simulated_cell(0, 4096);
  const CellRecord record = search(cell, device, budget(400));
  CHECK(record.complete);
  CHECK(device.timed.empty());
  CHECK(record.candidates.size() == device.space(cell).size());
  CHECK_FALSE(choose(record).has_value());
}

TEST_CASE("rounds are numbered, and each begins with another config") {
  SimulatedMeasurer device(2);
  const CellRecord record = search(simulated_cell(0, 4096), device, budget(400));
  std::set<int> rounds;
  for (const Candidate& candidate : record.candidates) {
    for (std::size_t i = 0; i < candidate.rounds.size(); ++i) {
      rounds.insert(candidate.rounds[i].round);
      if (i > 0) CHECK(candidate.rounds[i].round > candidate.rounds[i - 1].round);
    }
  }
  CHECK(static_cast<int>(rounds.size()) == device.rounds);
  CHECK(*rounds.rbegin() == device.rounds - 1);
  CHECK(device.first_of_round.size() >= 8);
  const std::set<std::string> final_starts(device.first_of_round.end() - 8,
                                           device.first_of_round.end());
  CHECK(final_starts.size() > 1);
}

TEST_CASE("an exhaustive search measures every config in every one of its rounds") {
  const TuneCell cell = simulated_cell(0, 4096);
  SimulatedMeasurer device(2);
  SearchOptions options = budget(10);
  options.exhaustive = true;
  options.exhaustive_rounds = 3;
  const CellRecord record = search(cell, device, options);
  CHECK(timed_configs(record) == device.space(cell).size());
  for (const Candidate& candidate : record.candidates) CHECK(candidate.rounds.size() >= 3);
  CHECK(excess(cell, choose(record)->config) < 0.01);
}

TEST_CASE("a search that is stopped ends with the round at hand, and is not complete") {
  class Stopping : public SimulatedMeasurer {
   public:
    using SimulatedMeasurer::SimulatedMeasurer;
    std::vector<CallTimes> measure(const TuneCell& cell,
                                   std::span<const LaunchConfig> configs) override {
      if (rounds == 4) stop = true;
      return SimulatedMeasurer::measure(cell, configs);
    }
    std::vector<Vetting> vet(const TuneCell& cell, std::span<const LaunchConfig> configs) override {
      CHECK_FALSE(stop);
      return SimulatedMeasurer::vet(cell, configs);
    }
    std::atomic<bool> stop{false};
  };
  for (const bool exhaustive : {false, true}) {
    Stopping device(2);
    SearchOptions options = budget(400);
    options.exhaustive = exhaustive;
    const CellRecord record =
        search_cell(simulated_cell(0, 4096), device, {}, options, device.stop);
    CHECK(device.rounds == 5);
    CHECK_FALSE(record.complete);
  }
}

TEST_CASE("a limit in seconds holds") {
  SimulatedMeasurer device(2);
  device.before_round = [](const TuneCell&, std::span<const LaunchConfig>) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  SearchOptions options = budget(1000000);
  options.seconds = 0.1;
  const CellRecord record = search(simulated_cell(0, 4096), device, options);
  CHECK(record.complete);
  CHECK(choose(record).has_value());
  CHECK(device.rounds >= 2);
  CHECK(device.rounds <= 8);  // it would go on for fifty
}

TEST_CASE("on the made-up device the search beats random search at every equal budget") {
  constexpr int kSeeds = 8;
  for (const int measurements : {8, 16, 32, 64, 128}) {
    double ours = 0;
    double random[3] = {};
    for (int shape = 0; shape < 3; ++shape) {
      for (const std::int64_t tokens : {1, 64, 1024, 65536}) {
        const TuneCell cell = simulated_cell(shape, tokens);
        for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
          SimulatedMeasurer device(seed);
          // What it found; the choice may be a little slower on purpose.
          const CellRecord found = search(cell, device, budget(measurements, seed));
          ours += excess(cell, standings(found).front().config);
          for (int i = 0; i < 3; ++i) {
            SimulatedMeasurer same(seed);
            random[i] += excess(cell, random_search(cell, same, measurements, 1 << i, seed));
          }
        }
      }
    }
    const double best_random = *std::min_element(std::begin(random), std::end(random));
    MESSAGE(measurements << " measurements: mean excess " << ours / (12 * kSeeds) << ", random "
                         << best_random / (12 * kSeeds));
    CHECK(ours < best_random);
  }
}

}  // namespace ropejit
