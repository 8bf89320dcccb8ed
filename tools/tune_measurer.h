#ifndef ROPEJIT_TOOLS_TUNE_MEASURER_H_
#define ROPEJIT_TOOLS_TUNE_MEASURER_H_

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "ropejit/config.h"
#include "tools/tune_space.h"

namespace ropejit {

/// GPU time of one call, in microseconds, the two ways that it is made.
struct CallTimes {
  double out_of_place_us = 0;
  double in_place_us = 0;

  /// What the tuner minimises: the geometric mean of the two, so that a percent of either weighs
  /// the same.
  double combined_us() const noexcept;
  bool operator==(const CallTimes&) const = default;
};

/// What became of a config before it was timed.
enum class Verdict {
  correct,
  compile,      ///< its kernel does not compile
  correctness,  ///< its result differs from the reference
  runtime,      ///< the driver refused to load or to run it
};
/// As spelled in the enum, and its inverse, which throws Error(invalid_argument) that names
/// `field`, the text and the accepted values.
std::string_view name(Verdict verdict) noexcept;
Verdict parse_verdict(std::string_view text, std::string_view field);

struct Vetting {
  Verdict verdict = Verdict::correct;
  std::string message;  ///< unless it is correct
  double compile_ms = 0;
  double verify_ms = 0;

  bool operator==(const Vetting&) const = default;
};

/// A config failed while it was timed.
class MeasureFailure : public std::runtime_error {
 public:
  MeasureFailure(const LaunchConfig& config, const std::string& message)
      : std::runtime_error(message), config_(config) {}
  const LaunchConfig& config() const noexcept { return config_; }

 private:
  LaunchConfig config_;
};

/// Where times come from: a device, or a recording of one.
class Measurer {
 public:
  virtual ~Measurer() = default;

  /// The configs that can be measured for a cell, default_config() among them.
  virtual std::vector<LaunchConfig> space(const TuneCell& cell) = 0;

  /// Makes configs ready to be measured, and says which of them may be: nothing else is ever timed.
  virtual std::vector<Vetting> vet(const TuneCell& cell, std::span<const LaunchConfig> configs) = 0;

  /// One round: times every config once, one after the other, so that what drifts does so for all
  /// alike. Throws MeasureFailure, and Error(driver) where the cell cannot be measured at all.
  virtual std::vector<CallTimes> measure(const TuneCell& cell,
                                         std::span<const LaunchConfig> configs) = 0;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_MEASURER_H_
