#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "ropejit/scaling.h"

namespace ropejit {
namespace {

using nlohmann::json;

constexpr std::array kFamilies{Scaling::none,        Scaling::linear,      Scaling::ntk,
                               Scaling::dynamic_ntk, Scaling::yarn,        Scaling::longrope,
                               Scaling::llama3,      Scaling::proportional};

// One unit of 2^-62 turn; where long double is a plain double, 11 bits are missing.
constexpr std::uint64_t kAllowed = std::numeric_limits<long double>::digits >= 64 ? 4 : 1 << 13;

std::uint64_t distance(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : b - a; }

Scaling family_named(const std::string& text) {
  for (const Scaling family : kFamilies) {
    if (name(family) == text) return family;
  }
  FAIL("no scaling family is named ", text);
  return Scaling::none;
}

/// Reads a field where it is present, and says whether it is.
template <class T>
bool read(const json& fields, const char* field, T& into) {
  if (!fields.contains(field)) return false;
  fields.at(field).get_to(into);
  return true;
}

bool read(const json& fields, const char* field, std::optional<double>& into) {
  if (!fields.contains(field)) return false;
  into = fields.at(field).get<double>();
  return true;
}

RotaryParameters to_parameters(const json& fields) {
  RotaryParameters p;
  std::string scaling(name(p.scaling));
  const auto present = {
      read(fields, "rotary_dim", p.rotary_dim),
      read(fields, "head_dim", p.head_dim),
      read(fields, "theta", p.theta),
      read(fields, "scaling", scaling),
      read(fields, "factor", p.factor),
      read(fields, "original_max_position_embeddings", p.original_max_position_embeddings),
      read(fields, "attention_factor", p.attention_factor),
      read(fields, "beta_fast", p.beta_fast),
      read(fields, "beta_slow", p.beta_slow),
      read(fields, "mscale", p.mscale),
      read(fields, "mscale_all_dim", p.mscale_all_dim),
      read(fields, "truncate", p.truncate),
      read(fields, "low_freq_factor", p.low_freq_factor),
      read(fields, "high_freq_factor", p.high_freq_factor),
      read(fields, "short_factor", p.short_factor),
      read(fields, "long_factor", p.long_factor)};
  REQUIRE(static_cast<std::size_t>(std::ranges::count(present, true)) == fields.size());
  p.scaling = family_named(scaling);
  return p;
}

json read_cases() {
  std::ifstream file(ROPEJIT_TEST_DATA "/scaled_frequencies.json");
  REQUIRE(file);
  return json::parse(file);
}

Frequencies frequencies_of(const json& row) {
  return make_frequencies(to_parameters(row.at("parameters")),
                          row.at("length").get<std::int64_t>());
}

}  // namespace

TEST_CASE("every family's turns agree with 60-digit arithmetic to one unit of 2^-62 turn") {
  const json cases = read_cases();
  REQUIRE(cases.size() == 61);
  std::uint64_t worst = 0;
  for (const json& row : cases) {
    CAPTURE(row.at("case").get<std::string>());
    CAPTURE(row.at("length").get<std::int64_t>());
    const Frequencies found = frequencies_of(row);
    const json& turns = row.at("turns");
    REQUIRE(found.turns.size() == turns.size());
    for (std::size_t pair = 0; pair < turns.size(); ++pair) {
      CAPTURE(pair);
      const std::uint64_t expected = std::stoull(turns[pair].get<std::string>());
      const std::uint64_t off = distance(found.turns[pair], expected);
      CHECK(off <= kAllowed);
      worst = std::max(worst, off);
    }
  }
  MESSAGE("worst distance in units of 2^-64 turn: ", worst);
}

TEST_CASE("every attention factor is the float nearest to 60-digit arithmetic") {
  for (const json& row : read_cases()) {
    CAPTURE(row.at("case").get<std::string>());
    CHECK(frequencies_of(row).attention_factor ==
          std::stof(row.at("attention_factor").get<std::string>()));
  }
}

TEST_CASE("the cases cover every family") {
  std::set<Scaling> covered;
  for (const json& row : read_cases()) covered.insert(to_parameters(row.at("parameters")).scaling);
  CHECK(covered.size() == kFamilies.size());
}

TEST_CASE("only the families that depend on the length give other frequencies at another length") {
  for (const json& row : read_cases()) {
    CAPTURE(row.at("case").get<std::string>());
    const RotaryParameters parameters = to_parameters(row.at("parameters"));
    const Frequencies trained = make_frequencies(parameters);
    CHECK((make_frequencies(parameters, 1 << 20) != trained) == depends_on_length(parameters));
    const std::int64_t context = parameters.original_max_position_embeddings;
    if (context > 0) CHECK(make_frequencies(parameters, context) == trained);
  }
}

}  // namespace ropejit
