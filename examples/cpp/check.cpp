#include "check.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

namespace {

/// To nearest, ties to even; not for NaN.
Bfloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<Bfloat16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/// In units of half a unit in the last place and 2e-6 of the pair's norm.
double relative_error(Bfloat16 got, double wanted, double norm) {
  if (to_float(got) == wanted) return 0;
  const double bound = std::ldexp(std::abs(wanted), -8) + 2e-6 * norm;
  const double error = std::abs(to_float(got) - wanted) / bound;
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

}  // namespace

float to_float(Bfloat16 value) { return std::bit_cast<float>(std::uint32_t{value} << 16); }

std::vector<Bfloat16> random_values(std::size_t count) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<Bfloat16> values(count);
  for (Bfloat16& value : values) value = to_bfloat16(normal(engine));
  return values;
}

double worst_error(const ropejit::RopeSpec& spec, double theta, const Bfloat16* before,
                   const Bfloat16* after, std::int64_t position) {
  const int pairs = spec.rotary() / 2;
  const bool interleaved = spec.layout == ropejit::Layout::interleaved;
  double worst = 0;
  for (int i = 0; i < pairs; ++i) {
    const int first = interleaved ? 2 * i : i;
    const int second = interleaved ? 2 * i + 1 : i + pairs;
    const double angle = static_cast<double>(position) * std::pow(theta, -1.0 * i / pairs);
    const double x = to_float(before[first]);
    const double y = to_float(before[second]);
    const double norm = std::hypot(x, y);
    const double turned_x = x * std::cos(angle) - y * std::sin(angle);
    const double turned_y = y * std::cos(angle) + x * std::sin(angle);
    worst = std::max({worst, relative_error(after[first], turned_x, norm),
                      relative_error(after[second], turned_y, norm)});
  }
  const bool rest_kept = std::equal(before + 2 * pairs, before + spec.head_dim, after + 2 * pairs);
  return rest_kept ? worst : std::numeric_limits<double>::infinity();
}
