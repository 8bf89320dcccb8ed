#include "src/fp32_angle.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "ropejit/table.h"

// Each operation of this file is rounded to float32 on its own: CMakeLists.txt forbids the compiler
// to fuse a product with a sum.

namespace ropejit {
namespace {

using Floats = std::vector<float>;

/// The float nearest to base^exponent.
float power(float base, double exponent) {
  return static_cast<float>(std::pow(static_cast<double>(base), exponent));
}

/// theta^(2i / dimensions), i = 0 .. pairs - 1: how many positions make one radian.
Floats periods(float theta, int dimensions, int pairs) {
  Floats result;
  for (int i = 0; i < pairs; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dimensions);
    result.push_back(power(theta, static_cast<double>(exponent)));
  }
  return result;
}

/// Their inverses, each divided by `factor` afterwards.
Floats frequencies(float theta, int dimensions, int pairs, double factor = 1.0) {
  Floats result = periods(theta, dimensions, pairs);
  for (float& value : result) value = 1.0f / value / static_cast<float>(factor);
  return result;
}

Floats plain(const RotaryParameters& p, double theta) {
  return frequencies(static_cast<float>(theta), p.rotary_dim, p.rotary_dim / 2);
}

double ntk_exponent(const RotaryParameters& p) {
  return static_cast<double>(p.rotary_dim) / (p.rotary_dim - 2);
}

/// Beyond the trained context the length is a tensor, so that the base is float32 arithmetic too;
/// only the exponent stays a double.
Floats dynamic_ntk(const RotaryParameters& p, std::int64_t length) {
  if (length <= p.original_max_position_embeddings) return plain(p, p.theta);
  const float stretch = static_cast<float>(p.factor) * static_cast<float>(length) /
                            static_cast<float>(p.original_max_position_embeddings) -
                        static_cast<float>(p.factor - 1);
  const float raised = power(stretch, ntk_exponent(p));
  return frequencies(static_cast<float>(p.theta) * raised, p.rotary_dim, p.rotary_dim / 2);
}

/// Where the pair would be that turns `count` times over the trained context.
double pair_that_turns(const RotaryParameters& p, double count) {
  const auto trained = static_cast<double>(p.original_max_position_embeddings);
  return p.rotary_dim * std::log(trained / (count * 2 * std::numbers::pi)) /
         (2 * std::log(p.theta));
}

Floats yarn(const RotaryParameters& p) {
  double begin = pair_that_turns(p, p.beta_fast), end = pair_that_turns(p, p.beta_slow);
  if (p.truncate) {
    begin = std::floor(begin);
    end = std::ceil(end);
  }
  begin = std::max(begin, 0.0);
  end = std::min(end, static_cast<double>(p.rotary_dim - 1));
  if (begin == end) end += 0.001;
  Floats result = periods(static_cast<float>(p.theta), p.rotary_dim, p.rotary_dim / 2);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const float along =
        (static_cast<float>(i) - static_cast<float>(begin)) / static_cast<float>(end - begin);
    const float kept = 1.0f - std::clamp(along, 0.0f, 1.0f);
    const float interpolated = 1.0f / (static_cast<float>(p.factor) * result[i]);
    const float extrapolated = 1.0f / result[i];
    result[i] = interpolated * (1.0f - kept) + extrapolated * kept;
  }
  return result;
}

Floats longrope(const RotaryParameters& p, std::int64_t length) {
  const std::vector<double>& factors =
      length > p.original_max_position_embeddings ? p.long_factor : p.short_factor;
  Floats result = periods(static_cast<float>(p.theta), p.rotary_dim, p.rotary_dim / 2);
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = 1.0f / (static_cast<float>(factors[i]) * result[i]);
  }
  return result;
}

/// PyTorch divides a number by a tensor as the number times the tensor's inverse.
float divide(double number, float by) { return 1.0f / by * static_cast<float>(number); }

Floats llama3(const RotaryParameters& p) {
  const auto trained = static_cast<double>(p.original_max_position_embeddings);
  const auto longest = static_cast<float>(trained / p.low_freq_factor);
  const auto shortest = static_cast<float>(trained / p.high_freq_factor);
  const auto factor = static_cast<float>(p.factor);
  Floats result = plain(p, p.theta);
  for (float& value : result) {
    const float wavelength = divide(2 * std::numbers::pi, value);
    if (wavelength > longest) {
      value /= factor;
    } else if (wavelength >= shortest) {
      const float kept = (divide(trained, wavelength) - static_cast<float>(p.low_freq_factor)) /
                         static_cast<float>(p.high_freq_factor - p.low_freq_factor);
      value = (1.0f - kept) * value / factor + kept * value;
    }
  }
  return result;
}

Floats proportional(const RotaryParameters& p) {
  Floats result = frequencies(static_cast<float>(p.theta), p.head_dim, p.rotary_dim / 2, p.factor);
  result.resize(static_cast<std::size_t>(p.head_dim / 2), 0.0f);
  return result;
}

Floats radians_of(const RotaryParameters& p, std::int64_t length) {
  switch (p.scaling) {
    case Scaling::none:
      return plain(p, p.theta);
    case Scaling::linear:
      return frequencies(static_cast<float>(p.theta), p.rotary_dim, p.rotary_dim / 2, p.factor);
    case Scaling::ntk:
      return plain(p, p.theta * std::pow(p.factor, ntk_exponent(p)));
    case Scaling::dynamic_ntk:
      return dynamic_ntk(p, length);
    case Scaling::yarn:
      return yarn(p);
    case Scaling::longrope:
      return longrope(p, length);
    case Scaling::llama3:
      return llama3(p);
    case Scaling::proportional:
      return proportional(p);
  }
  return {};
}

}  // namespace

Fp32CosSin fp32_cos_sin(float radians, std::int64_t position) noexcept {
  const float angle = static_cast<float>(position) * radians;
  return {static_cast<float>(std::cos(static_cast<double>(angle))),
          static_cast<float>(std::sin(static_cast<double>(angle)))};
}

Fp32Frequencies make_fp32_frequencies(const RotaryParameters& parameters, std::int64_t length) {
  // Refuses what is wrong, and has the attention factor, which is no float32 arithmetic.
  const Frequencies exact = make_frequencies(parameters, length);
  return {radians_of(parameters, length), exact.attention_factor};
}

}  // namespace ropejit
