#include "tools/order_statistics.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

namespace ropejit {
namespace {

TEST_CASE("the interval leaves out as many values as the binomial distribution allows") {
  // Tables of the sign test's 95% confidence interval.
  CHECK(values_below_interval(1) == 0);
  CHECK(values_below_interval(5) == 0);
  CHECK(values_below_interval(8) == 0);
  CHECK(values_below_interval(9) == 1);
  CHECK(values_below_interval(12) == 2);
  CHECK(values_below_interval(20) == 5);
  CHECK(values_below_interval(50) == 17);
  CHECK(values_below_interval(1000) == 468);
  CHECK(values_below_interval(10000) == 4901);
}

TEST_CASE("the median of an odd count is a sample, of an even count between two") {
  CHECK(median_interval({3, 1, 2}).median == 2);
  CHECK(median_interval({4, 1, 3, 2}).median == 2.5);
  CHECK(median_interval({7}).median == 7);
  CHECK(median_interval({7}).low == 7);
  CHECK(median_interval({7}).high == 7);
}

TEST_CASE("the interval is cut from both ends alike") {
  const MedianInterval few = median_interval({5, 4, 3, 2, 1});
  CHECK(few.low == 1);
  CHECK(few.high == 5);
  const MedianInterval more = median_interval({9, 8, 7, 6, 5, 4, 3, 2, 1});
  CHECK(more.low == 2);
  CHECK(more.median == 5);
  CHECK(more.high == 8);
}

TEST_CASE("95 of 100 intervals hold the median of the distribution") {
  std::mt19937 generator(1);
  std::exponential_distribution<double> distribution;  // its median is ln 2
  int holds = 0;
  constexpr int kTrials = 2000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> samples(25);
    for (double& sample : samples) sample = distribution(generator);
    const MedianInterval interval = median_interval(samples);
    if (interval.low <= 0.693147 && 0.693147 <= interval.high) ++holds;
  }
  CHECK(holds >= 0.95 * kTrials);
  CHECK(holds <= 0.97 * kTrials);  // for 25 samples the exact probability is 95.7%
}

}  // namespace
}  // namespace ropejit
