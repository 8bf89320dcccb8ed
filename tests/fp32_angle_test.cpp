#include "src/fp32_angle.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ropejit/table.h"
#include "tests/rotary_parameters.h"

namespace ropejit {
namespace {

using nlohmann::json;

json read_data(const std::string& name) {
  std::ifstream file(ROPEJIT_TEST_DATA "/" + name);
  REQUIRE(file);
  return json::parse(file);
}

/// A case of fp32_angle.json, and what make_fp32_frequencies() gives for its parameters.
struct Case {
  json row;
  Fp32Frequencies found;
};

std::vector<Case> read_cases() {
  const json parameters = read_data("scaled_frequencies.json");
  const json rows = read_data("fp32_angle.json").at("cases");
  REQUIRE(rows.size() == 63);
  REQUIRE(rows.size() == parameters.size());
  std::vector<Case> cases;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    REQUIRE(rows[i].at("case") == parameters[i].at("case"));
    cases.push_back(
        {rows[i], make_fp32_frequencies(rotary_parameters(parameters[i].at("parameters")),
                                        parameters[i].at("length").get<std::int64_t>())});
  }
  return cases;
}

std::int32_t bits(float value) { return std::bit_cast<std::int32_t>(value); }
float from_bits(const json& value) { return std::bit_cast<float>(value.get<std::int32_t>()); }

/// How many float32 numbers lie from one to the other.
std::int64_t ulps(float a, float b) {
  const auto order = [](float value) -> std::int64_t {
    return value < 0 ? -std::int64_t{bits(-value)} : std::int64_t{bits(value)};
  };
  return std::abs(order(a) - order(b));
}

/// The frequencies that transformers gave: those of the case, but for the pairs that it lists.
std::vector<float> transformers_radians(const json& row) {
  std::vector<float> radians;
  for (const json& value : row.at("radians")) radians.push_back(from_bits(value));
  for (const auto& [pair, value] : row.at("transformers").at("radians").items()) {
    radians.at(std::stoul(pair)) = from_bits(value);
  }
  return radians;
}

/// Calls `each(pair, position, i)` for every cosine and sine of the case, i their place in the
/// data.
template <class Each>
void for_each_angle(const json& row, Each each) {
  std::size_t i = 0;
  for (const json& position : row.at("positions")) {
    for (const json& pair : row.at("pairs")) {
      each(pair.get<std::size_t>(), position.get<std::int64_t>(), i++);
    }
  }
}

}  // namespace

TEST_CASE("every family's float32 frequencies are the published operations, bit for bit") {
  for (const auto& [row, found] : read_cases()) {
    CAPTURE(row.at("case").get<std::string>());
    CHECK(bits(found.attention_factor) == row.at("attention_factor").get<std::int32_t>());
    const json& expected = row.at("radians");
    REQUIRE(found.radians.size() == expected.size());
    for (std::size_t pair = 0; pair < expected.size(); ++pair) {
      CAPTURE(pair);
      CHECK(bits(found.radians[pair]) == expected[pair].get<std::int32_t>());
    }
  }
}

// docs/tables.md has these numbers.
TEST_CASE("transformers' own frequencies are the same but for 26 of 2749, two units off at most") {
  std::size_t all = 0, different = 0;
  std::int64_t worst = 0;
  for (const auto& [row, found] : read_cases()) {
    CAPTURE(row.at("case").get<std::string>());
    CHECK(row.at("transformers").at("attention_factor") == row.at("attention_factor"));
    const std::vector<float> theirs = transformers_radians(row);
    REQUIRE(found.radians.size() == theirs.size());
    for (std::size_t pair = 0; pair < theirs.size(); ++pair) {
      const std::int64_t off = ulps(found.radians[pair], theirs[pair]);
      ++all;
      different += off != 0;
      worst = std::max(worst, off);
    }
  }
  CHECK(all == 2749);
  CHECK(different == 26);
  CHECK(worst == 2);
}

TEST_CASE("cosine and sine are the floats nearest to those of the float32 angle, bit for bit") {
  for (const auto& [row, found] : read_cases()) {
    CAPTURE(row.at("case").get<std::string>());
    for_each_angle(row, [&, &data = row, &own = found](std::size_t pair, std::int64_t position,
                                                       std::size_t i) {
      CAPTURE(pair);
      CAPTURE(position);
      const Fp32CosSin value = fp32_cos_sin(own.radians[pair], position);
      CHECK(bits(value.cos * own.attention_factor) == data.at("cos")[i].get<std::int32_t>());
      CHECK(bits(value.sin * own.attention_factor) == data.at("sin")[i].get<std::int32_t>());
    });
  }
}

// docs/tables.md has these numbers.
TEST_CASE("transformers' own cosines and sines are at most a unit off, two where it scales them") {
  std::size_t all = 0, different = 0;
  const json data = read_data("fp32_angle.json");
  for (const json& row : data.at("cases")) {
    CAPTURE(row.at("case").get<std::string>());
    const std::vector<float> radians = transformers_radians(row);
    const json& theirs = row.at("transformers");
    const float factor = from_bits(theirs.at("attention_factor"));
    for_each_angle(row, [&](std::size_t pair, std::int64_t position, std::size_t i) {
      CAPTURE(pair);
      CAPTURE(position);
      const Fp32CosSin value = fp32_cos_sin(radians[pair], position);
      const std::int64_t cos_off = ulps(value.cos * factor, from_bits(theirs.at("cos")[i]));
      const std::int64_t sin_off = ulps(value.sin * factor, from_bits(theirs.at("sin")[i]));
      CHECK(std::max(cos_off, sin_off) <= (factor == 1.0f ? 1 : 2));
      all += 2;
      different += (cos_off != 0) + (sin_off != 0);
    });
  }
  CHECK(all == 4880);
  CHECK(different == 147);
}

}  // namespace ropejit
