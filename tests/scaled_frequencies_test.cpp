#include <doctest/doctest.h>

#include <cstdint>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "ropejit/scaling.h"
#include "tests/rotary_parameters.h"

namespace ropejit {
namespace {

using nlohmann::json;

// One unit of 2^-62 turn; where long double is a plain double, 11 bits are missing.
constexpr std::uint64_t kAllowed = std::numeric_limits<long double>::digits >= 64 ? 4 : 1 << 13;

std::uint64_t distance(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : b - a; }

json read_cases() {
  std::ifstream file(ROPEJIT_TEST_DATA "/scaled_frequencies.json");
  REQUIRE(file);
  return json::parse(file);
}

Frequencies frequencies_of(const json& row) {
  return make_frequencies(rotary_parameters(row.at("parameters")),
                          row.at("length").get<std::int64_t>());
}

}  // namespace

TEST_CASE("every family's turns agree with 60-digit arithmetic to one unit of 2^-62 turn") {
  const json cases = read_cases();
  REQUIRE(cases.size() == 63);
  for (const json& row : cases) {
    CAPTURE(row.at("case").get<std::string>());
    CAPTURE(row.at("length").get<std::int64_t>());
    const Frequencies found = frequencies_of(row);
    const json& turns = row.at("turns");
    REQUIRE(found.turns.size() == turns.size());
    for (std::size_t pair = 0; pair < turns.size(); ++pair) {
      CAPTURE(pair);
      const std::uint64_t expected = std::stoull(turns[pair].get<std::string>());
      CHECK(distance(found.turns[pair], expected) <= kAllowed);
    }
  }
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
  for (const json& row : read_cases())
    covered.insert(rotary_parameters(row.at("parameters")).scaling);
  CHECK(covered.size() == kFamilies.size());
}

TEST_CASE("only the families that depend on the length give other frequencies at another length") {
  for (const json& row : read_cases()) {
    CAPTURE(row.at("case").get<std::string>());
    const RotaryParameters parameters = rotary_parameters(row.at("parameters"));
    const Frequencies trained = make_frequencies(parameters);
    CHECK((make_frequencies(parameters, 1 << 20) != trained) == depends_on_length(parameters));
    const std::int64_t context = parameters.original_max_position_embeddings;
    if (context > 0) CHECK(make_frequencies(parameters, context) == trained);
  }
}

}  // namespace ropejit
