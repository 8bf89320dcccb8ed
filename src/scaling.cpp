#include "ropejit/scaling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "ropejit/error.h"

// The formulas are those of transformers' modeling_rope_utils.py, one function per family there and
// here, in real arithmetic instead of float32.

namespace ropejit {
namespace {

using Real = long double;

constexpr Real kTwoPi = 6.283185307179586476925286766559005768394L;

template <typename Value>
void require(bool holds, std::string_view field, const Value& value, std::string_view rule) {
  if (holds) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("{} = {}: {}", field, value, rule));
}

bool positive(double value) { return value > 0.0 && std::isfinite(value); }

/// What scales cosine and sine ends as a float32, with room to spare.
bool scales(double value) { return value >= 1e-30 && value <= 1e30; }
constexpr std::string_view kScalesRule = "must be from 1e-30 to 1e30";

/// Whether the family reads `factor`.
bool reads_factor(const RotaryParameters& p) {
  if (p.scaling == Scaling::longrope) return !p.attention_factor;
  return p.scaling != Scaling::none;
}

bool reads_original_context(Scaling scaling) {
  return scaling == Scaling::dynamic_ntk || scaling == Scaling::yarn ||
         scaling == Scaling::longrope || scaling == Scaling::llama3;
}

void validate_shape(const RotaryParameters& p) {
  require(p.rotary_dim >= 2 && p.rotary_dim % 2 == 0, "rotary_dim", p.rotary_dim,
          "must be even and at least 2");
  require(p.theta >= 1.0 && std::isfinite(p.theta), "theta", p.theta,
          "must be a finite number of at least 1");
  if (p.scaling == Scaling::proportional) {
    require(p.head_dim >= p.rotary_dim && p.head_dim % 2 == 0, "head_dim", p.head_dim,
            fmt::format("must be even and at least rotary_dim ({})", p.rotary_dim));
  }
  if (p.scaling == Scaling::ntk || p.scaling == Scaling::dynamic_ntk) {
    require(
        p.rotary_dim >= 4, "rotary_dim", p.rotary_dim,
        fmt::format("must be at least 4 for {}, whose exponent is d / (d - 2)", name(p.scaling)));
  }
}

/// The pair, as a real number, that turns `turns` times over the trained context.
Real yarn_pair(const RotaryParameters& p, Real turns) {
  const Real context = static_cast<Real>(p.original_max_position_embeddings);
  return static_cast<Real>(p.rotary_dim) * std::log(context / (turns * kTwoPi)) /
         (2 * std::log(static_cast<Real>(p.theta)));
}

/// The pairs, as real numbers, where yarn's interpolation begins and where it is complete.
struct Ramp {
  Real low;
  Real high;
};

Ramp yarn_ramp(const RotaryParameters& p) {
  Ramp ramp{yarn_pair(p, p.beta_fast), yarn_pair(p, p.beta_slow)};
  if (p.truncate) ramp = {std::floor(ramp.low), std::ceil(ramp.high)};
  return {std::max(ramp.low, Real{0}), std::min(ramp.high, static_cast<Real>(p.rotary_dim - 1))};
}

void validate_yarn(const RotaryParameters& p) {
  require(p.theta > 1.0, "theta", p.theta, "must be above 1 for yarn, which divides by its log");
  require(positive(p.beta_slow), "beta_slow", p.beta_slow, "must be a finite number above 0");
  require(p.beta_fast >= p.beta_slow && std::isfinite(p.beta_fast), "beta_fast", p.beta_fast,
          fmt::format("must be finite and at least beta_slow ({})", p.beta_slow));
  const Ramp ramp = yarn_ramp(p);
  require(ramp.low <= ramp.high, "original_max_position_embeddings",
          p.original_max_position_embeddings,
          fmt::format("puts yarn's ramp outside of the pairs: from {:.0f} to {:.0f}", ramp.low,
                      ramp.high));
  if (!p.mscale && !p.mscale_all_dim) return;
  if (!p.mscale || !p.mscale_all_dim) {
    const bool first = p.mscale.has_value();
    require(false, first ? "mscale" : "mscale_all_dim", first ? *p.mscale : *p.mscale_all_dim,
            fmt::format("needs {} as well: the attention factor is the ratio of the two",
                        first ? "mscale_all_dim" : "mscale"));
  }
  require(scales(*p.mscale), "mscale", *p.mscale, kScalesRule);
  require(scales(*p.mscale_all_dim), "mscale_all_dim", *p.mscale_all_dim, kScalesRule);
  require(!p.attention_factor, "mscale", *p.mscale,
          "would have no effect beside attention_factor; give one of them");
}

void validate_list(std::string_view field, const std::vector<double>& list, int pairs) {
  require(list.size() == static_cast<std::size_t>(pairs), field,
          fmt::format("a list of {}", list.size()),
          fmt::format("must have rotary_dim / 2 = {} numbers", pairs));
  for (std::size_t i = 0; i < list.size(); ++i) {
    // Below 1/2π the first pair would turn by more than a whole turn per position.
    require(list[i] >= 0.16 && std::isfinite(list[i]), fmt::format("{}[{}]", field, i), list[i],
            "must be a finite number of at least 0.16");
  }
}

void validate_longrope(const RotaryParameters& p) {
  validate_list("short_factor", p.short_factor, p.rotary_dim / 2);
  validate_list("long_factor", p.long_factor, p.rotary_dim / 2);
  if (p.attention_factor) return;
  require(p.original_max_position_embeddings >= 2, "original_max_position_embeddings",
          p.original_max_position_embeddings,
          "must be at least 2 for longrope without attention_factor, which divides by its log");
}

void validate_llama3(const RotaryParameters& p) {
  require(positive(p.low_freq_factor), "low_freq_factor", p.low_freq_factor,
          "must be a finite number above 0");
  require(p.high_freq_factor > p.low_freq_factor && std::isfinite(p.high_freq_factor),
          "high_freq_factor", p.high_freq_factor,
          fmt::format("must be finite and above low_freq_factor ({})", p.low_freq_factor));
}

/// θ_i = base^(-2i / dim).
Real plain_frequency(Real base, int i, int dim) {
  return std::pow(base, -2 * static_cast<Real>(i) / static_cast<Real>(dim));
}

using Rates = std::vector<Real>;  // radians per position of each pair

Rates plain(Real base, int dim) {
  Rates rates;
  for (int i = 0; i < dim / 2; ++i) rates.push_back(plain_frequency(base, i, dim));
  return rates;
}

Rates divided(Rates rates, Real factor) {
  for (Real& rate : rates) rate /= factor;
  return rates;
}

Rates divided(Rates rates, const std::vector<double>& factors) {
  for (std::size_t i = 0; i < rates.size(); ++i) rates[i] /= static_cast<Real>(factors[i]);
  return rates;
}

/// Of a base that is stretched so that the slowest pair turns `stretch` times slower and the
/// fastest as before.
Rates ntk(const RotaryParameters& p, Real stretch) {
  const Real d = p.rotary_dim;
  return plain(static_cast<Real>(p.theta) * std::pow(stretch, d / (d - 2)), p.rotary_dim);
}

Rates dynamic_ntk(const RotaryParameters& p, std::int64_t length) {
  const std::int64_t trained = p.original_max_position_embeddings;
  if (length <= trained) return plain(p.theta, p.rotary_dim);
  // s · L / M - (s - 1), without the cancellation.
  const Real beyond = static_cast<Real>(length - trained) / static_cast<Real>(trained);
  return ntk(p, 1 + static_cast<Real>(p.factor) * beyond);
}

Rates yarn(const RotaryParameters& p) {
  auto [low, high] = yarn_ramp(p);
  if (low == high) high += 0.001L;  // a step
  Rates rates = plain(p.theta, p.rotary_dim);
  for (std::size_t i = 0; i < rates.size(); ++i) {
    const Real ramp = std::clamp((static_cast<Real>(i) - low) / (high - low), Real{0}, Real{1});
    rates[i] = ramp * rates[i] / static_cast<Real>(p.factor) + (1 - ramp) * rates[i];
  }
  return rates;
}

/// `weight · ln(factor) / 10 + 1`, 1 up to a factor of 1.
Real yarn_attention(Real factor, Real weight) {
  return factor <= 1 ? 1 : weight * std::log(factor) / 10 + 1;
}

Rates llama3(const RotaryParameters& p) {
  const Real context = static_cast<Real>(p.original_max_position_embeddings);
  const Real factor = p.factor;
  const Real low = p.low_freq_factor;
  const Real high = p.high_freq_factor;
  Rates rates = plain(p.theta, p.rotary_dim);
  for (Real& rate : rates) {
    const Real turns = context * rate / kTwoPi;  // over the trained context
    // How much of the plain frequency stays: nothing below `low` turns, all above `high`.
    const Real smooth = std::clamp((turns - low) / (high - low), Real{0}, Real{1});
    rate = (1 - smooth) * rate / factor + smooth * rate;
  }
  return rates;
}

Rates proportional(const RotaryParameters& p) {
  Rates rates(static_cast<std::size_t>(p.head_dim / 2), 0);
  for (int i = 0; i < p.rotary_dim / 2; ++i) {
    rates[static_cast<std::size_t>(i)] = plain_frequency(p.theta, i, p.head_dim) / p.factor;
  }
  return rates;
}

Rates rates_of(const RotaryParameters& p, std::int64_t length) {
  switch (p.scaling) {
    case Scaling::none:
      return plain(p.theta, p.rotary_dim);
    case Scaling::linear:
      return divided(plain(p.theta, p.rotary_dim), p.factor);
    case Scaling::ntk:
      return ntk(p, p.factor);
    case Scaling::dynamic_ntk:
      return dynamic_ntk(p, length);
    case Scaling::yarn:
      return yarn(p);
    case Scaling::longrope:
      return divided(plain(p.theta, p.rotary_dim),
                     length > p.original_max_position_embeddings ? p.long_factor : p.short_factor);
    case Scaling::llama3:
      return llama3(p);
    case Scaling::proportional:
      return proportional(p);
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("scaling = {}: is none of the enum", static_cast<int>(p.scaling)));
}

Real attention_factor_of(const RotaryParameters& p) {
  if (p.scaling != Scaling::yarn && p.scaling != Scaling::longrope) return 1;
  if (p.attention_factor) return *p.attention_factor;
  const Real factor = p.factor;
  if (p.scaling == Scaling::longrope) {
    const Real context = static_cast<Real>(p.original_max_position_embeddings);
    return std::sqrt(1 + std::log(factor) / std::log(context));
  }
  if (!p.mscale) return yarn_attention(factor, 1);
  return yarn_attention(factor, *p.mscale) / yarn_attention(factor, *p.mscale_all_dim);
}

}  // namespace

std::string_view name(Scaling value) noexcept {
  switch (value) {
    case Scaling::none:
      return "default";
    case Scaling::linear:
      return "linear";
    case Scaling::ntk:
      return "ntk";
    case Scaling::dynamic_ntk:
      return "dynamic";
    case Scaling::yarn:
      return "yarn";
    case Scaling::longrope:
      return "longrope";
    case Scaling::llama3:
      return "llama3";
    case Scaling::proportional:
      return "proportional";
  }
  return "invalid";
}

void validate(const RotaryParameters& p) {
  validate_shape(p);
  if (reads_factor(p)) {
    require(p.factor >= 1.0 && std::isfinite(p.factor), "factor", p.factor,
            "must be a finite number of at least 1");
  }
  if (reads_original_context(p.scaling)) {
    require(p.original_max_position_embeddings >= 1, "original_max_position_embeddings",
            p.original_max_position_embeddings, "must be at least 1");
  }
  if ((p.scaling == Scaling::yarn || p.scaling == Scaling::longrope) && p.attention_factor) {
    require(scales(*p.attention_factor), "attention_factor", *p.attention_factor, kScalesRule);
  }
  if (p.scaling == Scaling::yarn) validate_yarn(p);
  if (p.scaling == Scaling::longrope) validate_longrope(p);
  if (p.scaling == Scaling::llama3) validate_llama3(p);
}

bool depends_on_length(const RotaryParameters& parameters) noexcept {
  return parameters.scaling == Scaling::dynamic_ntk || parameters.scaling == Scaling::longrope;
}

Frequencies make_frequencies(const RotaryParameters& parameters, std::int64_t length) {
  validate(parameters);
  require(length >= 0, "length", length, "must not be negative");
  Frequencies frequencies;
  for (const Real rate : rates_of(parameters, length)) {
    frequencies.turns.push_back(to_turns(rate));
  }
  frequencies.attention_factor = static_cast<float>(attention_factor_of(parameters));
  return frequencies;
}

}  // namespace ropejit
