#include "ropejit/frequencies.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/refusal.h"

namespace ropejit {
namespace {

// 60-digit arithmetic wrote the file; where long double is a plain double, 11 bits are missing.
constexpr std::uint64_t kAllowed = std::numeric_limits<long double>::digits >= 64 ? 1 : 1 << 12;

std::uint64_t distance(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : b - a; }

TEST_CASE("turns agree with 60-digit arithmetic to one unit of 2^-64 turn") {
  std::ifstream file(ROPEJIT_TEST_DATA "/exact_angles.json");
  const auto rows = nlohmann::json::parse(file);
  REQUIRE(rows.size() == 360);
  std::uint64_t worst = 0;
  for (const auto& row : rows) {
    const long double base = std::stold(row.at("base").get<std::string>());
    const auto frequencies = default_frequencies(row.at("rotary_dim").get<int>(), base);
    const std::uint64_t turns = frequencies.turns.at(row.at("pair").get<std::size_t>());
    const std::uint64_t expected = std::stoull(row.at("turns64").get<std::string>());
    worst = std::max(worst, distance(turns, expected));
  }
  INFO("worst distance in units of 2^-64 turn: ", worst);
  CHECK(worst <= kAllowed);
}

TEST_CASE("there is one frequency per pair, falling from one radian per position") {
  const Frequencies frequencies = default_frequencies(80, 10000.0L);
  REQUIRE(frequencies.turns.size() == 40);
  CHECK(frequencies.attention_factor == 1.0f);
  CHECK(distance(frequencies.turns[0], 2935890503282001226u) <= kAllowed);  // 2^64 / 2π
  for (std::size_t i = 1; i < frequencies.turns.size(); ++i) {
    CHECK(frequencies.turns[i] < frequencies.turns[i - 1]);
  }
}

TEST_CASE("a base of one turns every pair at one radian per position") {
  const Frequencies frequencies = default_frequencies(4, 1.0L);
  REQUIRE(frequencies.turns.size() == 2);
  CHECK(frequencies.turns[0] == frequencies.turns[1]);
}

TEST_CASE("to_turns covers the whole turn") {
  CHECK(to_turns(0.0L) == 0);
  constexpr long double kPi = 3.141592653589793238462643383279502884L;
  CHECK(distance(to_turns(kPi), std::uint64_t{1} << 63) <= 2 * kAllowed);
  CHECK(distance(to_turns(kPi / 2), std::uint64_t{1} << 62) <= kAllowed);
  CHECK(to_turns(1e-30L) == 0);
  // The last value below 2π is within two units of a full turn, which is 0 modulo 2^64.
  CHECK(to_turns(std::nextafter(2 * kPi, 0.0L)) + 2 * kAllowed <= 4 * kAllowed);
}

TEST_CASE("a frequency outside [0, 2π) is refused") {
  using Limits = std::numeric_limits<long double>;
  for (const long double value : {-1.0L, 6.2831854L, Limits::infinity(), Limits::quiet_NaN()}) {
    const std::string message = refusal([&] { to_turns(value); });
    CHECK(message.starts_with("invalid_argument: frequency = "));
    CHECK(message.ends_with(": must be at least 0 and below 2π radians per position"));
  }
}

TEST_CASE("a bad rotary_dim or theta is refused by name") {
  for (const int value : {-2, 0, 1, 63}) {
    CHECK(refusal([&] { default_frequencies(value, 10000.0L); }) ==
          "invalid_argument: rotary_dim = " + std::to_string(value) +
              ": must be even and at least 2");
  }
  CHECK(refusal([] { default_frequencies(64, 0.5L); }) ==
        "invalid_argument: theta = 0.5: must be a finite number of at least 1");
  CHECK(refusal([] { default_frequencies(64, std::numeric_limits<long double>::infinity()); }) ==
        "invalid_argument: theta = inf: must be a finite number of at least 1");
  CHECK(refusal([] { default_frequencies(64, std::numeric_limits<long double>::quiet_NaN()); }) ==
        "invalid_argument: theta = nan: must be a finite number of at least 1");
}

}  // namespace
}  // namespace ropejit
