#include "ropejit/frequencies.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "ropejit/error.h"

namespace ropejit {
namespace {

// 1/2π as an unevaluated sum, so that the product below is rounded once only: the first 64 bits
// and the next 64. The last bit of a turn is 2^-64: a long double of 64 bits or more (x86, AArch64
// Linux) gives turns that are right to one unit; where it is no more than a double they are right
// to about 2^9 units, still far below what a float32 sine resolves.
constexpr long double kInverseTwoPi = 0xA2F9836E4E441529p-66L;
constexpr long double kInverseTwoPiRest = 0xFC2757D1F534DDC0p-130L;
static_assert(std::numeric_limits<long double>::digits >= 53);

constexpr long double kTwoPi = 6.283185307179586476925286766559005768394L;

}  // namespace

std::uint64_t to_turns(long double frequency) {
  if (!(frequency >= 0.0L && frequency < kTwoPi)) {  // written so that NaN fails
    throw Error(ErrorCode::invalid_argument,
                fmt::format("frequency = {}: must be at least 0 and below 2π radians per position",
                            frequency));
  }
  const long double turns = std::fma(frequency, kInverseTwoPi, frequency * kInverseTwoPiRest);
  const long double scaled = std::nearbyint(std::ldexp(turns, 64));
  // A whole turn is no turn. Rounding reaches it where a long double has other than 64 bits.
  return scaled >= 0x1p64L ? 0 : static_cast<std::uint64_t>(scaled);
}

Frequencies default_frequencies(int rotary_dim, long double theta) {
  if (rotary_dim < 2 || rotary_dim % 2 != 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("rotary_dim = {}: must be even and at least 2", rotary_dim));
  }
  if (!(theta >= 1.0L && std::isfinite(theta))) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("theta = {}: must be a finite number of at least 1", theta));
  }
  Frequencies frequencies;
  for (int i = 0; i < rotary_dim; i += 2) {
    const long double exponent = -static_cast<long double>(i) / rotary_dim;
    frequencies.turns.push_back(to_turns(std::pow(theta, exponent)));
  }
  return frequencies;
}

}  // namespace ropejit
