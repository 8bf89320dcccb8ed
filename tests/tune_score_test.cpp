// The search against random search, on what was recorded of real devices: `ropejit tune
// --exhaustive --record` wrote the files of tests/data/tuning/.

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "ropejit/frequencies.h"
#include "tests/random_search.h"
#include "tools/tune_record.h"
#include "tools/tune_replay.h"
#include "tools/tune_search.h"
#include "tools/tune_select.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

constexpr int kSeeds = 20;
constexpr std::size_t kFewestConfigs = 40;  ///< less than that is no space to search
const std::atomic<bool> kGoOn{false};

const fs::path& folder() {
  static const fs::path path = fs::path(ROPEJIT_TEST_DATA) / "tuning";
  return path;
}

std::vector<std::string> recordings() {
  std::vector<std::string> paths;
  for (const auto& item : fs::directory_iterator(folder())) {
    if (item.path().extension() == ".json") paths.push_back(item.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// How much slower than the fastest config of the cell each is, by all that was recorded.
class Truth {
 public:
  explicit Truth(const CellRecord& cell) : cell_(cell) {
    for (const Candidate& candidate : cell.candidates) {
      if (!candidate.rounds.empty()) best_ = std::min(best_, recorded_us(candidate));
    }
  }
  double excess(const LaunchConfig& config) const {
    for (const Candidate& candidate : cell_.candidates) {
      if (candidate.config == config) return recorded_us(candidate) / best_ - 1;
    }
    return std::numeric_limits<double>::infinity();
  }

 private:
  const CellRecord& cell_;
  double best_ = std::numeric_limits<double>::infinity();
};

struct Score {
  double search = 0;
  double random[3] = {};  ///< with 1, 2 and 4 rounds of each config
  int searches = 0;

  double best_random() const { return *std::min_element(std::begin(random), std::end(random)); }
};

void add_cell(Score& score, const Recording& recording, const CellRecord& record,
              int measurements) {
  const TuneCell cell{record.spec, default_frequencies(record.spec.rotary(), 10000), record.tokens};
  const Truth truth(record);
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SearchOptions options;
    options.measurements = measurements;
    options.seed = seed;
    ReplayMeasurer replay(recording, seed);
    const CellRecord found = search_cell(cell, replay, {}, options, kGoOn);
    // What it found; the choice may be a little slower on purpose.
    score.search += truth.excess(standings(found).front().config);
    for (int i = 0; i < 3; ++i) {
      ReplayMeasurer same(recording, seed);
      score.random[i] += truth.excess(random_search(cell, same, measurements, 1 << i, seed));
    }
    ++score.searches;
  }
}

std::size_t timed_in(const CellRecord& cell) {
  return static_cast<std::size_t>(
      std::count_if(cell.candidates.begin(), cell.candidates.end(),
                    [](const Candidate& candidate) { return !candidate.rounds.empty(); }));
}

}  // namespace

TEST_CASE("on recorded spaces the search beats random search at every equal budget") {
  const std::vector<std::string> paths = recordings();
  REQUIRE_FALSE(paths.empty());
  for (const std::string& path : paths) {
    CAPTURE(path);
    const Recording recording = load_recording(path);
    for (const int measurements : {16, 32, 64}) {
      Score score;
      for (const CellRecord& cell : recording.cells) {
        REQUIRE(cell.complete);
        REQUIRE(timed_in(cell) >= kFewestConfigs);
        add_cell(score, recording, cell, measurements);
      }
      MESSAGE(fmt::format("{} measurements: {:.2f}% slower than the best, random search {:.2f}%",
                          measurements, 100 * score.search / score.searches,
                          100 * score.best_random() / score.searches));
      CHECK(score.search < score.best_random());
    }
  }
}

}  // namespace ropejit
