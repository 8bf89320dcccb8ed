#ifndef ROPEJIT_TUNING_H_
#define ROPEJIT_TUNING_H_

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ropejit/config.h"

namespace ropejit {

/// Devices that run a kernel alike: what was measured on one holds for all. Names are no part of
/// it, since one chip is sold under several and they change.
struct DeviceClass {
  int major = 0;  ///< compute capability
  int minor = 0;
  int sm_count = 0;
  std::int64_t l2_bytes = 0;

  std::string arch() const { return "sm_" + std::to_string(major) + std::to_string(minor); }
  auto operator<=>(const DeviceClass&) const = default;
};

/// `9.0,132,62914560`: capability, multiprocessors, bytes of L2 cache. And its inverse, which
/// throws Error(invalid_argument) that names `field`, the text and the rule.
std::string describe(const DeviceClass& device_class);
DeviceClass parse_device_class(std::string_view text, std::string_view field = "device_class");

/// A launch config with the time that one call took, in microseconds: the median, and the interval
/// that holds it with 95%.
struct MeasuredConfig {
  LaunchConfig config;
  double us = 0;
  double low = 0;
  double high = 0;

  bool operator==(const MeasuredConfig&) const = default;
};

/// How well what a launch config was chosen by fits what was asked for; the best first.
enum class Match {
  exact,        ///< measured for this spec and token count on this class of devices
  near_tokens,  ///< measured for this spec, at another token count
  near_spec,    ///< measured for a spec that is near this one
  heuristic,    ///< nothing that was measured fits: the built-in rule
};
std::string_view name(Match value) noexcept;

/// The launch config for a spec, a class of devices and a token count, and what it comes from.
struct ConfigChoice {
  LaunchConfig config;
  Match match = Match::heuristic;
  std::string file;  ///< the tuned file; `shipped NAME` is part of the library; empty: none
  std::string why;   ///< one sentence, with what was passed over
  /// What the file says: the config that was chosen as it was measured, the default that it was
  /// chosen over, the token count, and the number of samples. Absent with Match::heuristic.
  std::optional<MeasuredConfig> measured{};
  std::optional<MeasuredConfig> measured_default{};
  std::int64_t measured_tokens = 0;
  int samples = 0;
};

}  // namespace ropejit

#endif  // ROPEJIT_TUNING_H_
