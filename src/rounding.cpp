#include "src/rounding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace ropejit {
namespace {

struct Format {
  int precision;       // significant bits, the hidden one included
  int least_exponent;  // of a normal number, as of 1.f x 2^e
};

Format format_of(Dtype dtype) noexcept {
  switch (dtype) {
    case Dtype::float32:
      return {24, -126};
    case Dtype::float16:
      return {11, -14};
    case Dtype::bfloat16:
      return {8, -126};
  }
  return {};
}

/// Rounds to float "to odd": an inexact result gets an odd last bit. A second rounding, to fewer
/// than 23 bits, then gives what one rounding from double would have given (Boldo and Melquiond
/// 2008, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd").
float round_to_odd(double value) noexcept {
  const auto nearest = static_cast<float>(value);
  const auto back = static_cast<double>(nearest);
  if (back == value || std::isnan(value)) return nearest;
  auto bits = std::bit_cast<std::uint32_t>(nearest);
  if (std::fabs(back) > std::fabs(value)) --bits;
  return std::bit_cast<float>(bits | 1);
}

std::uint16_t to_bfloat16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return 0x7fff;
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

std::uint16_t to_float16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  if (std::isnan(value)) return 0x7fff;
  const float magnitude = std::fabs(value);
  if (magnitude >= 65520.0f) return sign | 0x7c00;
  if (magnitude < 0x1p-14f) {  // a multiple of 2^-24; nearbyint rounds ties to even
    return static_cast<std::uint16_t>(sign | static_cast<int>(std::nearbyint(magnitude * 0x1p24f)));
  }
  const std::uint32_t rounded = (bits & 0x7fffffff) + 0xfff + ((bits >> 13) & 1);
  return static_cast<std::uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

double from_float16(std::uint16_t half) noexcept {
  const int exponent = (half >> 10) & 31;
  const int fraction = half & 1023;
  double magnitude = 0;
  if (exponent == 31) {
    magnitude = fraction == 0 ? HUGE_VAL : std::nan("");
  } else if (exponent == 0) {
    magnitude = std::ldexp(fraction, -24);
  } else {
    magnitude = std::ldexp(1024 + fraction, exponent - 25);
  }
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

template <class T>
T read(const void* address) noexcept {
  T value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

}  // namespace

double load_element(Dtype dtype, const void* address) noexcept {
  switch (dtype) {
    case Dtype::float32:
      return static_cast<double>(read<float>(address));
    case Dtype::float16:
      return from_float16(read<std::uint16_t>(address));
    case Dtype::bfloat16:
      return static_cast<double>(
          std::bit_cast<float>(static_cast<std::uint32_t>(read<std::uint16_t>(address)) << 16));
  }
  return std::nan("");
}

void store_element(Dtype dtype, void* address, double value) noexcept {
  if (dtype == Dtype::float32) {
    const auto single = static_cast<float>(value);
    std::memcpy(address, &single, sizeof single);
    return;
  }
  const float odd = round_to_odd(value);
  const std::uint16_t half = dtype == Dtype::float16 ? to_float16(odd) : to_bfloat16(odd);
  std::memcpy(address, &half, sizeof half);
}

double unit_in_last_place(Dtype dtype, double value) noexcept {
  const Format format = format_of(dtype);
  const int exponent = value == 0 ? format.least_exponent : std::ilogb(value);
  return std::ldexp(1.0, std::max(exponent, format.least_exponent) - (format.precision - 1));
}

}  // namespace ropejit
