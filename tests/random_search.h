#ifndef ROPEJIT_TESTS_RANDOM_SEARCH_H_
#define ROPEJIT_TESTS_RANDOM_SEARCH_H_

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "tools/signed_rank.h"
#include "tools/tune_measurer.h"

namespace ropejit {

/// What a search has to beat: as many configs drawn at random as `measurements` allow with `rounds`
/// rounds of each (more rounds once the space is exhausted), of which the fastest is taken.
inline LaunchConfig random_search(const TuneCell& cell, Measurer& measurer, int measurements,
                                  int rounds, std::uint64_t seed) {
  std::vector<LaunchConfig> drawn = measurer.space(cell);
  std::mt19937_64 random(seed);
  std::shuffle(drawn.begin(), drawn.end(), random);
  drawn.resize(
      std::min(drawn.size(), static_cast<std::size_t>(std::max(measurements / rounds, 1))));
  const int most = std::max(rounds, measurements / static_cast<int>(drawn.size()));
  std::vector<std::vector<CallTimes>> all;
  for (int round = 0; round < most; ++round) all.push_back(measurer.measure(cell, drawn));
  std::vector<double> times;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    std::vector<double> samples;
    for (const std::vector<CallTimes>& round : all) samples.push_back(round[i].combined_us());
    times.push_back(center_interval(samples).center);
  }
  return drawn[static_cast<std::size_t>(std::min_element(times.begin(), times.end()) -
                                        times.begin())];
}

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_RANDOM_SEARCH_H_
