#include "tools/signed_rank.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace ropejit {
namespace {

constexpr double kNormalQuantile = 2.576;  // 99% of a normal distribution lie within

/// How many of the pairs' means lie below the interval.
std::size_t means_below(std::size_t samples) {
  const auto n = static_cast<double>(samples);
  const double expected = n * (n + 1) / 4;
  const double deviation = std::sqrt(n * (n + 1) * (2 * n + 1) / 24);
  return static_cast<std::size_t>(std::max(expected - kNormalQuantile * deviation, 0.0));
}

}  // namespace

CenterInterval center_interval(std::span<const double> samples) {
  std::vector<double> means;
  means.reserve(samples.size() * (samples.size() + 1) / 2);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    for (std::size_t j = i; j < samples.size(); ++j) means.push_back((samples[i] + samples[j]) / 2);
  }
  // Of hundreds of samples there are tens of thousands of means: sorting all takes too long.
  const auto ranked = [&](std::size_t rank) {
    const auto place = means.begin() + static_cast<std::ptrdiff_t>(rank);
    std::nth_element(means.begin(), place, means.end());
    return *place;
  };
  const std::size_t last = means.size() - 1;
  const std::size_t below = means_below(samples.size());
  return {(ranked(last / 2) + ranked((last + 1) / 2)) / 2, ranked(below), ranked(last - below)};
}

}  // namespace ropejit
