#ifndef ROPEJIT_TOOLS_TUNE_SPACE_H_
#define ROPEJIT_TOOLS_TUNE_SPACE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ropejit/config.h"
#include "ropejit/frequencies.h"
#include "ropejit/spec.h"
#include "ropejit/tuning.h"

namespace ropejit {

/// What is tuned at a time: one spec at one token count.
struct TuneCell {
  RopeSpec spec;
  Frequencies frequencies;  ///< what the calls rotate by; no influence on the speed
  std::int64_t tokens = 1;
  /// What a tuned file has for the spec, in the canonical form of effective_config(): who is in use
  /// stays, unless it is clearly slower. Absent: no file knows the spec, or none is to be heeded.
  std::optional<LaunchConfig> incumbent{};
};

/// The values of every field of a LaunchConfig that the tuner tries, ascending.
inline constexpr int kBlockThreads[] = {64, 128, 256, 512};
inline constexpr int kAccessBytes[] = {4, 8, 16, 32};
inline constexpr Pairing kPairings[] = {Pairing::registers, Pairing::exchange};
inline constexpr int kHeadsPerThread[] = {1, 2, 4};
inline constexpr bool kStreamingStores[] = {false, true};

/// A config, and what it is to be tried for.
struct TunePoint {
  RopeSpec kernel_spec;  ///< of the kernel that keeps the alignment promise
  std::int64_t tokens;
  DeviceClass device_class;
  LaunchConfig config;
};

/// What a config has to fulfil to be worth a measurement.
struct TuneConstraint {
  std::string_view name;
  std::string_view reason;
  bool (*holds)(const TunePoint& point);
};
/// All of them. A config is tried if and only if every one holds.
std::span<const TuneConstraint> tune_constraints();

/// The kernel spec that a cell's tuned kernels are for.
RopeSpec tuned_kernel_spec(const RopeSpec& spec);

/// What a Rope takes for `tokens` tokens without a tuned file, in the canonical form of
/// effective_config().
LaunchConfig default_config(const RopeSpec& spec, std::int64_t tokens);

/// The configs to try, each of them a kernel and launch of its own: what the constraints leave of
/// the product of the values above, the last field varying fastest, then default_config() and the
/// `incumbent` if they exclude these.
std::vector<LaunchConfig> tune_space(const RopeSpec& spec, std::int64_t tokens,
                                     const DeviceClass& device_class,
                                     const std::optional<LaunchConfig>& incumbent = {});

/// The configs of `space` that differ from `config` in one field, there by one step among those.
std::vector<LaunchConfig> neighbours(const LaunchConfig& config,
                                     std::span<const LaunchConfig> space);

/// Whether two configs are launches of one kernel.
bool share_kernel(const LaunchConfig& a, const LaunchConfig& b) noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_SPACE_H_
