#ifndef ROPEJIT_FREQUENCIES_H_
#define ROPEJIT_FREQUENCIES_H_

#include <cstdint>
#include <vector>

namespace ropejit {

/// How fast each pair turns: data, not code. Changing it never compiles anything.
struct Frequencies {
  /// Turns per position of each pair, as fixed point: round(frequency / 2π · 2^64), rotary_dim/2
  /// values. position · turns modulo 2^64 is then the phase in units of 2^-64 turn, with an error
  /// of at most |position| · 2^-65 turn however large the position. Empty with AngleSource::table.
  std::vector<std::uint64_t> turns;
  /// Scales cosine and sine alike (YaRN, LongRoPE); finite and above 0.
  float attention_factor = 1.0f;

  bool operator==(const Frequencies&) const = default;
};

/// A frequency in radians per position as fixed-point turns: round(frequency / 2π · 2^64).
/// Throws Error(invalid_argument) unless 0 <= frequency < 2π.
std::uint64_t to_turns(long double frequency);

/// θ_i = theta^(-2i / rotary_dim), i = 0 .. rotary_dim/2 - 1 (Su et al. 2021, RoFormer, eq. 15),
/// evaluated in long double. `rotary_dim` is even and positive, `theta` finite and at least 1.
/// Throws Error(invalid_argument). Thread-safe; costs one powl per pair.
Frequencies default_frequencies(int rotary_dim, long double theta);

}  // namespace ropejit

#endif  // ROPEJIT_FREQUENCIES_H_
