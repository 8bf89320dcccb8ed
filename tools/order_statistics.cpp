#include "tools/order_statistics.h"

#include <algorithm>
#include <cmath>

namespace ropejit {
namespace {

constexpr double kOutsideProbability = 0.05;

}  // namespace

std::size_t values_below_interval(std::size_t samples) {
  // With k values left out on either side, the interval misses the median if at most k of the n
  // samples fall below the median, or above it: twice the probability of at most k heads in n
  // tosses.
  const auto n = static_cast<double>(samples);
  double log_probability = -n * std::log(2.0);  // of exactly k heads: 2^-n alone would underflow
  double at_most = std::exp(log_probability);
  std::size_t below = 0;
  while (2 * at_most <= kOutsideProbability && 2 * (below + 1) < samples) {
    ++below;
    const auto k = static_cast<double>(below);
    log_probability += std::log((n - k + 1) / k);
    at_most += std::exp(log_probability);
  }
  return below == 0 ? 0 : below - 1;
}

MedianInterval median_interval(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const std::size_t count = samples.size();
  const std::size_t below = values_below_interval(count);
  const double median = (samples[(count - 1) / 2] + samples[count / 2]) / 2;
  return {median, samples[below], samples[count - 1 - below]};
}

}  // namespace ropejit
