#ifndef ROPEJIT_TESTS_SIMULATED_DEVICE_H_
#define ROPEJIT_TESTS_SIMULATED_DEVICE_H_

#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tools/tune_measurer.h"
#include "tools/tune_record.h"
#include "tools/tune_search.h"

namespace ropejit {

/// What the made-up device says of itself.
inline constexpr DeviceClass kSimulatedClass{9, 0, 132, 62914560};

/// The time that a made-up device takes, without noise. A model for tests, of no real device: a
/// fixed part and the memory's, times a factor per field whose best value shifts with the token
/// count, times a small part that no rule predicts.
double simulated_us(const RopeSpec& spec, std::int64_t tokens, const LaunchConfig& config);

/// The least of simulated_us() over a space.
double simulated_best_us(const TuneCell& cell, std::span<const LaunchConfig> space);

/// How measurements of the made-up device differ from its times.
struct SimulatedNoise {
  double spread = 0.006;         ///< standard deviation of each sample, relative
  double outliers = 0.02;        ///< how many samples take much longer
  double outlier_excess = 0.05;  ///< by how much, on average
  double drift = 0.002;          ///< from round to round, of all configs alike
};

/// Measures the made-up device.
class SimulatedMeasurer : public Measurer {
 public:
  explicit SimulatedMeasurer(std::uint64_t noise_seed, SimulatedNoise noise = {})
      : noise_(noise), random_(noise_seed) {}

  std::vector<LaunchConfig> space(const TuneCell& cell) override;
  std::vector<Vetting> vet(const TuneCell& cell, std::span<const LaunchConfig> configs) override;
  std::vector<CallTimes> measure(const TuneCell& cell,
                                 std::span<const LaunchConfig> configs) override;

  /// What becomes of a config before it is timed; unset: all are correct.
  std::function<Vetting(const LaunchConfig&)> verdict;
  /// Called at the begin of every round; may throw, or stop the search.
  std::function<void(const TuneCell& cell, std::span<const LaunchConfig> configs)> before_round;
  std::vector<LaunchConfig> timed;  ///< every measurement, in order
  std::vector<std::string> first_of_round;
  int rounds = 0;

 private:
  SimulatedNoise noise_;
  std::mt19937_64 random_;
  double level_ = 1;
};

/// What a search recorded of the made-up device, in cells of `shapes` shapes at every token count.
Recording simulated_recording(int shapes, const std::vector<std::int64_t>& tokens,
                              const SearchOptions& options);

/// A cell of Llama-3's shape, and of others that differ from it by one number each.
TuneCell simulated_cell(int shape, std::int64_t tokens);

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_SIMULATED_DEVICE_H_
