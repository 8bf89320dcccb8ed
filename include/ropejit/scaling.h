#ifndef ROPEJIT_SCALING_H_
#define ROPEJIT_SCALING_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "ropejit/frequencies.h"

namespace ropejit {

/// How a model stretches its rotation over contexts longer than the one it was first trained on.
/// θ_i = theta^(-2i / d) is the plain frequency of pair i, d the rotary dimensions, s the factor.
enum class Scaling {
  none,
  linear,  ///< θ_i / s (Chen et al. 2023, Position Interpolation)
  ntk,     ///< of the base theta · s^(d / (d - 2)) ("NTK-aware", bloc97 2023)
  /// The same with s growing with the length L of the sequence: once L exceeds the trained context
  /// M, base theta · (s · L / M - (s - 1))^(d / (d - 2))
  dynamic_ntk,
  yarn,      ///< interpolated where wavelengths are long (Peng et al. 2023, YaRN, section 3)
  longrope,  ///< θ_i / λ_i, with one list of λ up to the trained context and another beyond (Ding
             ///< et al. 2024)
  llama3,  ///< interpolated where wavelengths are long, smoothly (Llama 3.1's published code)
  /// head_dim / 2 pairs, the first rotary_dim / 2 at theta^(-2i / head_dim) / s, the others still:
  /// all of the head takes part in a rotation that leaves its last pairs where they are
  proportional,
};
/// As transformers' rope_type: default, linear, ntk, dynamic, yarn, longrope, llama3, proportional.
std::string_view name(Scaling value) noexcept;

/// What decides the frequencies of a model. Of `scaling`'s own fields only those of the family are
/// read; each is as transformers' rope_parameters spell it. Plain data.
struct RotaryParameters {
  int rotary_dim = 0;  ///< twice the number of pairs that turn; even
  int head_dim = 0;    ///< proportional
  double theta = 10000.0;
  Scaling scaling = Scaling::none;
  /// s, at least 1: all but none and, where attention_factor is given, longrope.
  double factor = 1.0;
  /// Positions that the model was trained on before it was stretched: dynamic_ntk, yarn, longrope,
  /// llama3.
  std::int64_t original_max_position_embeddings = 0;
  /// Scales cosine and sine: yarn, longrope. Absent: by the family's formula.
  std::optional<double> attention_factor{};
  double beta_fast = 32.0;  ///< yarn: turns over the trained context that bound the ramp
  double beta_slow = 1.0;
  /// yarn, both or neither, instead of attention_factor: the ratio of two attention factors.
  std::optional<double> mscale{};
  std::optional<double> mscale_all_dim{};
  bool truncate = true;          ///< yarn: the ramp begins and ends at whole pairs
  double low_freq_factor = 1.0;  ///< llama3
  double high_freq_factor = 4.0;
  std::vector<double> short_factor{};  ///< longrope: rotary_dim / 2 each
  std::vector<double> long_factor{};

  bool operator==(const RotaryParameters&) const = default;
};

/// Throws Error(invalid_argument) that names the field, its value and the rule. Thread-safe.
void validate(const RotaryParameters& parameters);

/// Whether the frequencies depend on the length of the sequence: dynamic_ntk and longrope. Those of
/// up to original_max_position_embeddings tokens are the same for all shorter lengths.
bool depends_on_length(const RotaryParameters& parameters) noexcept;

/// The frequencies for sequences of up to `length` tokens; 0: up to the trained context. The
/// formulas are those of transformers' modeling_rope_utils, in real arithmetic, evaluated in long
/// double: with one of 64 bits, within 2^-62 of a turn per position. Cosines and sines of tokens
/// that are already in a cache were made with the frequencies of their time: a length that crosses
/// the trained context asks for all of them anew. Throws what validate() throws, and
/// Error(invalid_argument) for a negative length. Thread-safe; costs one powl per pair.
Frequencies make_frequencies(const RotaryParameters& parameters, std::int64_t length = 0);

}  // namespace ropejit

#endif  // ROPEJIT_SCALING_H_
