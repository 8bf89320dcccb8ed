#include "src/rounding.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace ropejit {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A 16-bit format by the definition of IEEE 754: one sign bit, then `exponent_bits`, then the
/// rest.
struct Format {
  Dtype dtype;
  int exponent_bits;
  std::uint16_t infinity;  // its bits; one less is the largest finite number
};
constexpr Format kFormats[] = {{Dtype::float16, 5, 0x7c00}, {Dtype::bfloat16, 8, 0x7f80}};

double value_of(const Format& format, std::uint16_t bits) {
  const int fraction_bits = 15 - format.exponent_bits;
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const int exponent = (bits & 0x7fff) >> fraction_bits;
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == (1 << format.exponent_bits) - 1) return fraction == 0 ? sign * kInfinity : kNaN;
  const double significand = fraction + (exponent == 0 ? 0.0 : std::exp2(fraction_bits));
  return sign * significand * std::exp2(std::max(exponent, 1) - bias - fraction_bits);
}

std::uint16_t stored(Dtype dtype, double value) {
  std::uint16_t bits = 0;
  store_element(dtype, &bits, value);
  return bits;
}

/// The rounding of a non-negative number by search among all numbers of the format. Between two
/// neighbours the midpoint decides, which a double holds exactly; past the largest number the next
/// one would be where infinity stands.
class NearestOfAll {
 public:
  explicit NearestOfAll(const Format& format) : format_(format) {
    for (std::uint16_t bits = 0; bits < format.infinity; ++bits) {
      values_.push_back(value_of(format, bits));
    }
    values_.push_back(2 * values_.back() - values_[values_.size() - 2]);
  }

  std::uint16_t operator()(double value) const {
    if (value >= values_.back()) return format_.infinity;
    const auto above = std::upper_bound(values_.begin(), values_.end(), value);
    const auto high = static_cast<std::uint16_t>(above - values_.begin());
    const auto low = static_cast<std::uint16_t>(high - 1);
    const double middle = midpoint(low);
    if (value == middle) return low % 2 == 0 ? low : high;
    return value < middle ? low : high;
  }

  double midpoint(std::uint16_t low) const { return (values_[low] + values_[low + 1u]) / 2; }
  double value(std::uint16_t bits) const { return values_[bits]; }

 private:
  Format format_;
  std::vector<double> values_;
};

/// Doubles that try a format: every number, every midpoint, both with their neighbours, and random
/// ones over all of the format's range and beyond it.
std::vector<double> trial_values(const Format& format, const NearestOfAll& nearest) {
  std::vector<double> values = {0.0, 5e-324, 1e-310, 1e300, std::numeric_limits<double>::max()};
  for (std::uint16_t bits = 0; bits < format.infinity; ++bits) {
    for (const double value : {nearest.value(bits), nearest.midpoint(bits)}) {
      values.push_back(value);
      values.push_back(std::nextafter(value, kInfinity));
      values.push_back(std::nextafter(value, 0.0));
    }
  }
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-160, 140), significand(1, 2);
  for (int i = 0; i < 30000; ++i) {
    values.push_back(significand(random) * std::exp2(std::floor(exponent(random))));
  }
  return values;
}

}  // namespace

TEST_CASE("every 16-bit pattern loads as the number that IEEE 754 says") {
  for (const Format& format : kFormats) {
    int nans = 0, wrong = 0;
    for (std::uint32_t pattern = 0; pattern < 65536; ++pattern) {
      const auto bits = static_cast<std::uint16_t>(pattern);
      const double loaded = load_element(format.dtype, &bits), expected = value_of(format, bits);
      if (std::isnan(expected)) {
        nans += std::isnan(loaded) ? 1 : 0;
      } else if (loaded != expected || std::signbit(loaded) != std::signbit(expected)) {
        ++wrong;
      }
    }
    CAPTURE(name(format.dtype));
    CHECK(wrong == 0);
    CHECK(nans == 2 * (0x7fff - format.infinity));
  }
}

TEST_CASE("a 16-bit store takes the nearest of all numbers, the even one of two") {
  for (const Format& format : kFormats) {
    const NearestOfAll nearest(format);
    const std::vector<double> values = trial_values(format, nearest);
    CAPTURE(name(format.dtype));
    CHECK(values.size() > 200000);
    for (const double value : values) {
      const std::uint16_t expected = nearest(value);
      if (stored(format.dtype, value) != expected) {
        FAIL("storing ", value, " gave ", stored(format.dtype, value), " for ", expected);
      }
      if (stored(format.dtype, -value) != (expected | 0x8000)) FAIL("storing ", -value);
    }
  }
}

TEST_CASE("what is stored and loaded again is the same number") {
  for (const Format& format : kFormats) {
    int changed = 0;
    for (std::uint32_t pattern = 0; pattern < 65536; ++pattern) {
      const auto bits = static_cast<std::uint16_t>(pattern);
      const double value = load_element(format.dtype, &bits);
      if (!std::isnan(value) && stored(format.dtype, value) != bits) ++changed;
    }
    CHECK(changed == 0);
  }
}

TEST_CASE("the overflow boundary is half a unit above the largest number") {
  CHECK(stored(Dtype::float16, 65519.999999) == 0x7bff);
  CHECK(stored(Dtype::float16, 65520.0) == 0x7c00);
  CHECK(stored(Dtype::float16, -65520.0) == 0xfc00);
  CHECK(stored(Dtype::bfloat16, std::nextafter(0x1.ffp127, 0.0)) == 0x7f7f);
  CHECK(stored(Dtype::bfloat16, 0x1.ffp127) == 0x7f80);
  CHECK(stored(Dtype::float16, kInfinity) == 0x7c00);
  CHECK(stored(Dtype::bfloat16, -kInfinity) == 0xff80);
}

TEST_CASE("a NaN is stored as a quiet NaN") {
  CHECK(stored(Dtype::float16, kNaN) == 0x7fff);
  CHECK(stored(Dtype::float16, -kNaN) == 0x7fff);
  CHECK(stored(Dtype::bfloat16, kNaN) == 0x7fff);
  float single = 0;
  store_element(Dtype::float32, &single, kNaN);
  CHECK(std::isnan(single));
  CHECK(std::isnan(load_element(Dtype::float32, &single)));
}

TEST_CASE("a float store takes the nearer of the two neighbours, the even one of two") {
  std::mt19937_64 random(5);
  std::uniform_int_distribution<std::uint32_t> any(0, 0x7f7ffffe);
  std::uniform_real_distribution<double> within(0, 1);
  const auto store = [](double value) {
    float single = 0;
    store_element(Dtype::float32, &single, value);
    return std::bit_cast<std::uint32_t>(single);
  };
  for (int i = 0; i < 30000; ++i) {
    const std::uint32_t bits = i < 1000 ? static_cast<std::uint32_t>(i) : any(random);
    const double low = static_cast<double>(std::bit_cast<float>(bits));
    const double high = static_cast<double>(std::bit_cast<float>(bits + 1));
    const double middle = low + (high - low) / 2;
    REQUIRE(store(middle) == bits + bits % 2);
    REQUIRE(store(std::nextafter(middle, low)) == bits);
    REQUIRE(store(std::nextafter(middle, high)) == bits + 1);
    REQUIRE(store(-low) == (bits | 0x80000000u));
    float single = std::bit_cast<float>(bits);
    REQUIRE(load_element(Dtype::float32, &single) == low);
  }
  CHECK(store(0x1.ffffffp127) == 0x7f800000u);
}

TEST_CASE("the unit in the last place is the distance of the two numbers around a value") {
  for (const Format& format : kFormats) {
    for (std::uint16_t bits = 0; bits + 1 < format.infinity; ++bits) {
      const double low = value_of(format, bits), high = value_of(format, bits + 1);
      REQUIRE(unit_in_last_place(format.dtype, low) == high - low);
      REQUIRE(unit_in_last_place(format.dtype, -low) == high - low);
      REQUIRE(unit_in_last_place(format.dtype, (low + high) / 2) == high - low);
    }
  }
  CHECK(unit_in_last_place(Dtype::float32, 0.0) == 0x1p-149);
  CHECK(unit_in_last_place(Dtype::float32, 1e-45) == 0x1p-149);
  CHECK(unit_in_last_place(Dtype::float32, 1.0) == 0x1p-23);
  CHECK(unit_in_last_place(Dtype::float32, 1.99) == 0x1p-23);
  CHECK(unit_in_last_place(Dtype::float32, -2.0) == 0x1p-22);
}

TEST_CASE("a store touches its own bytes only") {
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    unsigned char bytes[12];
    std::memset(bytes, 0xa5, sizeof bytes);
    store_element(dtype, bytes + 4, 1.0);
    for (std::size_t i = 0; i < sizeof bytes; ++i) {
      const bool own = i >= 4 && i < 4 + size_of(dtype);
      if (!own) CHECK(bytes[i] == 0xa5);
    }
    CHECK(load_element(dtype, bytes + 4) == 1.0);
  }
}

}  // namespace ropejit
