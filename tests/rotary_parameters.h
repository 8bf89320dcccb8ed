#ifndef ROPEJIT_TESTS_ROTARY_PARAMETERS_H_
#define ROPEJIT_TESTS_ROTARY_PARAMETERS_H_

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "ropejit/scaling.h"

namespace ropejit {

inline constexpr std::array kFamilies{Scaling::none,        Scaling::linear,      Scaling::ntk,
                                      Scaling::dynamic_ntk, Scaling::yarn,        Scaling::longrope,
                                      Scaling::llama3,      Scaling::proportional};

inline Scaling family_named(const std::string& text) {
  for (const Scaling family : kFamilies) {
    if (name(family) == text) return family;
  }
  FAIL("no scaling family is named ", text);
  return Scaling::none;
}

/// Reads a field where it is present, and says whether it is. `Json` is nlohmann::json, which no
/// header includes.
template <class Json, class T>
bool read_field(const Json& fields, const char* field, T& into) {
  if (!fields.contains(field)) return false;
  fields.at(field).get_to(into);
  return true;
}

template <class Json>
bool read_field(const Json& fields, const char* field, std::optional<double>& into) {
  if (!fields.contains(field)) return false;
  fields.at(field).get_to(into.emplace());
  return true;
}

/// The parameters whose fields `fields` has, by their names; fails the test if it has another.
template <class Json>
RotaryParameters rotary_parameters(const Json& fields) {
  RotaryParameters p;
  std::string scaling(name(p.scaling));
  const auto present = {
      read_field(fields, "rotary_dim", p.rotary_dim),
      read_field(fields, "head_dim", p.head_dim),
      read_field(fields, "theta", p.theta),
      read_field(fields, "scaling", scaling),
      read_field(fields, "factor", p.factor),
      read_field(fields, "original_max_position_embeddings", p.original_max_position_embeddings),
      read_field(fields, "attention_factor", p.attention_factor),
      read_field(fields, "beta_fast", p.beta_fast),
      read_field(fields, "beta_slow", p.beta_slow),
      read_field(fields, "mscale", p.mscale),
      read_field(fields, "mscale_all_dim", p.mscale_all_dim),
      read_field(fields, "truncate", p.truncate),
      read_field(fields, "low_freq_factor", p.low_freq_factor),
      read_field(fields, "high_freq_factor", p.high_freq_factor),
      read_field(fields, "short_factor", p.short_factor),
      read_field(fields, "long_factor", p.long_factor)};
  REQUIRE(static_cast<std::size_t>(std::ranges::count(present, true)) == fields.size());
  p.scaling = family_named(scaling);
  return p;
}

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_ROTARY_PARAMETERS_H_
