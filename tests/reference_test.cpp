#include "ropejit/reference.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <vector>

#include "ropejit/error.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

using Floats = std::vector<float>;

constexpr std::uint64_t kQuarterTurn = std::uint64_t{1} << 62;

RopeSpec small_spec(int head_dim, int rotary_dim, Layout layout) {
  RopeSpec spec;
  spec.head_dim = head_dim;
  spec.rotary_dim = rotary_dim;
  spec.dtype = Dtype::float32;
  spec.layout = layout;
  spec.q_heads = 1;
  spec.kv_heads = 1;
  spec.alignment = 4;
  return spec;
}

/// One token of one head, at `position`.
Floats rotated(const RopeSpec& spec, const Frequencies& frequencies, Floats head,
               std::int64_t position) {
  Floats out(head.size(), -99.0f);
  RopeArgs args;
  args.seq = 1;
  args.offset = position;
  args.q = dense_bshd(head.data(), 1, 1, spec.head_dim);
  args.q_out = dense_bshd(out.data(), 1, 1, spec.head_dim);
  apply_reference(spec, frequencies, args);
  return out;
}

/// Numbers that no rotation confuses with each other.
Floats counting(std::size_t count) {
  Floats values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = 1.0f + 0.01f * static_cast<float>(i);
  return values;
}

Frequencies quarter_and_half() {
  Frequencies frequencies;
  frequencies.turns = {kQuarterTurn, 2 * kQuarterTurn};
  return frequencies;
}

/// The rotation by its definition, as products of complex numbers: element `d` of a head.
double by_definition(const RopeSpec& spec, const Frequencies& frequencies, const float* head,
                     std::int64_t position, int d) {
  if (d >= spec.rotary()) return static_cast<double>(head[d]);
  const int half = spec.rotary() / 2;
  const bool interleaved = spec.layout == Layout::interleaved;
  const int pair = interleaved ? d / 2 : d % half;
  const int first = interleaved ? 2 * pair : pair, second = interleaved ? first + 1 : pair + half;
  const long double turns = std::ldexp(static_cast<long double>(static_cast<std::int64_t>(
                                           static_cast<std::uint64_t>(position) *
                                           frequencies.turns[static_cast<std::size_t>(pair)])),
                                       -64);
  const long double sense = spec.direction == Direction::forward ? 1 : -1;
  const auto turned = std::complex<long double>(static_cast<long double>(head[first]),
                                                static_cast<long double>(head[second])) *
                      std::polar(static_cast<long double>(frequencies.attention_factor),
                                 sense * 2 * std::numbers::pi_v<long double> * turns);
  return static_cast<double>(d == first ? turned.real() : turned.imag());
}

}  // namespace

TEST_CASE("cosine and sine are within 1e-9 of 25-digit values at every position") {
  std::ifstream file(ROPEJIT_TEST_DATA "/exact_angles.json");
  REQUIRE(file);
  const nlohmann::json rows = nlohmann::json::parse(file);
  REQUIRE(rows.size() == 360);
  double worst = 0;
  for (const nlohmann::json& row : rows) {
    const CosSin found = exact_cos_sin(std::stoull(row.at("turns64").get<std::string>()),
                                       row.at("position").get<std::int64_t>());
    worst = std::max({worst, std::fabs(found.cos - std::stod(row.at("cos").get<std::string>())),
                      std::fabs(found.sin - std::stod(row.at("sin").get<std::string>()))});
  }
  CHECK(worst < 1e-9);
  CHECK(worst > 0);
}

TEST_CASE("cosine and sine are within 1e-15 of those of the fixed-point phase, at any position") {
  double worst = 0;
  std::uint64_t turns = 0x9E3779B97F4A7C15;
  for (const std::int64_t position : {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1},
                                      std::int64_t{1} << 31, INT64_MAX, INT64_MIN}) {
    for (int i = 0; i < 2000; ++i) {
      turns = turns * 6364136223846793005u + 1442695040888963407u;
      const auto phase = static_cast<std::int64_t>(static_cast<std::uint64_t>(position) * turns);
      const long double angle =
          std::ldexp(static_cast<long double>(phase), -63) * std::numbers::pi_v<long double>;
      const CosSin found = exact_cos_sin(turns, position);
      worst = std::max({worst, std::fabs(found.cos - static_cast<double>(std::cos(angle))),
                        std::fabs(found.sin - static_cast<double>(std::sin(angle)))});
    }
  }
  CHECK(worst < 1e-15);
}

TEST_CASE("quarter and half turns of neighbours are as turned by hand") {
  const RopeSpec spec = small_spec(6, 4, Layout::interleaved);
  const Floats head = {1, 2, 3, 4, 5, 6};
  CHECK(rotated(spec, quarter_and_half(), head, 0) == head);
  CHECK(rotated(spec, quarter_and_half(), head, 1) == Floats{-2, 1, -3, -4, 5, 6});
  CHECK(rotated(spec, quarter_and_half(), head, -1) == Floats{2, -1, -3, -4, 5, 6});
  CHECK(rotated(spec, quarter_and_half(), head, 2) == Floats{-1, -2, 3, 4, 5, 6});
}

TEST_CASE("quarter and half turns of half-heads are as turned by hand") {
  const RopeSpec spec = small_spec(6, 4, Layout::sequential);
  const Floats head = {1, 2, 3, 4, 5, 6};
  CHECK(rotated(spec, quarter_and_half(), head, 0) == head);
  CHECK(rotated(spec, quarter_and_half(), head, 1) == Floats{-3, -2, 1, -4, 5, 6});
  CHECK(rotated(spec, quarter_and_half(), head, -1) == Floats{3, -2, -1, -4, 5, 6});
  CHECK(rotated(spec, quarter_and_half(), head, 2) == Floats{-1, 2, -3, 4, 5, 6});
}

TEST_CASE("the factor scales the rotated part alone") {
  Frequencies frequencies = quarter_and_half();
  frequencies.attention_factor = 2.5f;
  CHECK(rotated(small_spec(6, 4, Layout::sequential), frequencies, {1, 2, 3, 4, 5, 6}, 1) ==
        Floats{-7.5f, -5, 2.5f, -10, 5, 6});
}

TEST_CASE("inverse turns the other way with the same factor, and undoes forward without one") {
  for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
    RopeSpec forward = small_spec(80, 32, layout), inverse = forward;
    inverse.direction = Direction::inverse;
    Frequencies frequencies = default_frequencies(32, 10000);
    const Floats head = counting(80);
    for (const std::int64_t position : {1, 2047, 131071, -1000000}) {
      const Floats there = rotated(forward, frequencies, head, position);
      const Floats back = rotated(inverse, frequencies, there, position);
      CHECK(there[0] != head[0]);
      for (std::size_t i = 0; i < head.size(); ++i) {
        CHECK(std::fabs(back[i] - head[i]) < 4e-7f);
      }
      CHECK(rotated(inverse, frequencies, head, position) ==
            rotated(forward, frequencies, head, -position));
    }
    frequencies.attention_factor = 2;
    CHECK(rotated(inverse, frequencies, head, 77) == rotated(forward, frequencies, head, -77));
  }
}

TEST_CASE("every element is the rounded product of complex numbers") {
  for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
    for (const Direction direction : {Direction::forward, Direction::inverse}) {
      for (const int rotary_dim : {2, 24, 96}) {
        RopeSpec spec = small_spec(96, rotary_dim, layout);
        spec.direction = direction;
        Frequencies frequencies = default_frequencies(rotary_dim, 500000);
        frequencies.attention_factor = 1.25f;
        const Floats head = counting(96);
        for (const std::int64_t position : {std::int64_t{3}, std::int64_t{-131071}, INT64_MAX}) {
          const Floats out = rotated(spec, frequencies, head, position);
          for (int d = 0; d < 96; ++d) {
            const double exact = by_definition(spec, frequencies, head.data(), position, d);
            CHECK(std::fabs(static_cast<double>(out[static_cast<std::size_t>(d)]) - exact) < 2e-7);
          }
        }
      }
    }
  }
}

TEST_CASE("frequencies that do not fit the spec are refused") {
  const RopeSpec spec = small_spec(64, 32, Layout::sequential);
  const auto frequency_verdict = [&](AngleSource angles, std::size_t turns, float factor) {
    RopeSpec changed = spec;
    changed.angles = angles;
    Frequencies frequencies;
    frequencies.turns.resize(turns);
    frequencies.attention_factor = factor;
    return refusal([&] { validate(changed, frequencies); });
  };
  CHECK(frequency_verdict(AngleSource::exact, 16, 1) == "accepted");
  CHECK(frequency_verdict(AngleSource::exact, 15, 1) ==
        "invalid_argument: frequencies.turns has 15 values: must have rotary_dim / 2 = 16");
  CHECK(frequency_verdict(AngleSource::exact, 0, 1) ==
        "invalid_argument: frequencies.turns has 0 values: must have rotary_dim / 2 = 16");
  CHECK(frequency_verdict(AngleSource::table, 0, 1) == "accepted");
  CHECK(frequency_verdict(AngleSource::table, 16, 1) == "accepted");
  CHECK(frequency_verdict(AngleSource::table, 17, 1) ==
        "invalid_argument: frequencies.turns has 17 values: must have rotary_dim / 2 = 16");
  CHECK(frequency_verdict(AngleSource::exact, 16, 0) ==
        "invalid_argument: frequencies.attention_factor = 0: must be finite and above 0");
  for (const float factor : {-1.0f, INFINITY, NAN}) {
    CHECK(frequency_verdict(AngleSource::exact, 16, factor)
              .starts_with("invalid_argument: frequencies.attention_factor = "));
  }
}

TEST_CASE("a bad call leaves every buffer as it was") {
  const RopeSpec spec = small_spec(4, 4, Layout::sequential);
  Floats q = counting(16), out(16, 7.0f);
  const Floats q_before = q, out_before = out;
  RopeArgs args;
  args.seq = 2;
  args.q = dense_bshd(q.data(), 2, 1, 4);
  args.q_out = dense_bshd(out.data(), 2, 1, 4);
  const auto refused = [&](const std::function<void(RopeArgs&)>& change) {
    RopeArgs changed = args;
    change(changed);
    return refusal([&] { apply_reference(spec, quarter_and_half(), changed); });
  };
  CHECK(refused([](RopeArgs& a) { a.q_out.stride_dim = 0; }) != "accepted");
  CHECK(refused([&](RopeArgs& a) { a.q_out.data = q.data() + 2; }) != "accepted");
  CHECK(refused([](RopeArgs& a) { a.seq = -1; }) != "accepted");
  CHECK(refused([&](RopeArgs& a) { a.positions = q.data(); }) != "accepted");
  CHECK(refused([](RopeArgs& a) { a.k.data = a.q.data; }) != "accepted");
  RopeSpec odd = spec;
  odd.rotary_dim = 3;
  CHECK(refusal([&] { apply_reference(odd, quarter_and_half(), args); }) != "accepted");
  CHECK(refusal([&] { apply_reference(spec, Frequencies{}, args); }) != "accepted");
  CHECK(q == q_before);
  CHECK(out == out_before);
}

}  // namespace ropejit
