#include "tools/signed_rank.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace ropejit {

TEST_CASE("the centre is the median of the means of all pairs") {
  const std::vector<double> samples = {1, 2, 6};  // means: 1, 1.5, 2, 3.5, 4, 6
  CHECK(center_interval(samples).center == doctest::Approx(2.75));
  const std::vector<double> one = {3};
  CHECK(center_interval(one).center == 3);
}

TEST_CASE("the interval of few samples is their range") {
  const std::vector<double> samples = {5, 1, 4, 2, 3};
  const CenterInterval interval = center_interval(samples);
  CHECK(interval.low == 1);
  CHECK(interval.high == 5);
  CHECK(interval.center == 3);
  const std::vector<double> nine = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  CHECK(center_interval(nine).low == 1);
  CHECK(center_interval(nine).high == 9);
  const std::vector<double> ten = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  CHECK(center_interval(ten).low > 1);
  CHECK(center_interval(ten).high < 10);
}

TEST_CASE("the interval's ranks are those of the signed-rank test") {
  // The published critical value for 20 samples and 1% on both sides is 37: so many means lie below
  // the interval, or up to two less by the approximation.
  std::vector<double> samples;
  std::vector<double> means;
  for (int i = 0; i < 20; ++i) samples.push_back(std::pow(1.7, i));
  for (std::size_t i = 0; i < 20; ++i) {
    for (std::size_t j = i; j < 20; ++j) means.push_back((samples[i] + samples[j]) / 2);
  }
  std::sort(means.begin(), means.end());
  const CenterInterval interval = center_interval(samples);
  CHECK(interval.low >= means[35]);
  CHECK(interval.low <= means[37]);
  CHECK(interval.high <= means[means.size() - 1 - 35]);
  CHECK(interval.high >= means[means.size() - 1 - 37]);
}

TEST_CASE("the interval holds the centre of symmetric noise in 99 of 100 cases, outliers or not") {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  for (const double outliers : {0.0, 0.1}) {
    for (const int count : {12, 48, 400}) {
      int held = 0;
      for (int trial = 0; trial < 2000; ++trial) {
        std::vector<double> samples;
        for (int i = 0; i < count; ++i) {
          const bool outlier = static_cast<double>(random() % 1000) < 1000 * outliers;
          samples.push_back(10 + normal(random) * (outlier ? 50 : 1));
        }
        const CenterInterval interval = center_interval(samples);
        held += interval.low <= 10 && 10 <= interval.high ? 1 : 0;
      }
      CAPTURE(outliers);
      CAPTURE(count);
      CHECK(held >= 2000 * 0.983);
      CHECK(held < 2000);
    }
  }
}

TEST_CASE("hundreds of samples narrow the interval as they should") {
  std::mt19937_64 random(13);
  std::normal_distribution<double> normal;
  std::vector<double> samples;
  for (int i = 0; i < 40; ++i) samples.push_back(normal(random));
  const CenterInterval few = center_interval(samples);
  for (int i = 0; i < 960; ++i) samples.push_back(normal(random));
  const CenterInterval many = center_interval(samples);
  CHECK(many.high - many.low < (few.high - few.low) / 4);  // by a factor of 5
  CHECK(many.high - many.low > (few.high - few.low) / 8);
}

TEST_CASE("the centre scatters less than the median, and outliers hardly move it") {
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal;
  double of_center = 0;
  double of_median = 0;
  for (int trial = 0; trial < 1000; ++trial) {
    std::vector<double> samples;
    for (int i = 0; i < 25; ++i) samples.push_back(normal(random));
    of_center += std::pow(center_interval(samples).center, 2);
    std::nth_element(samples.begin(), samples.begin() + 12, samples.end());
    of_median += samples[12] * samples[12];
  }
  CHECK(of_center < 0.8 * of_median);
  std::vector<double> samples(20, 1.0);
  samples.back() = 1e9;
  CHECK(center_interval(samples).center == 1.0);
}

}  // namespace ropejit
