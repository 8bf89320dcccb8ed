#ifndef ROPEJIT_TOOLS_ORDER_STATISTICS_H_
#define ROPEJIT_TOOLS_ORDER_STATISTICS_H_

#include <cstddef>
#include <vector>

namespace ropejit {

/// A median and an interval around it.
struct MedianInterval {
  double median = 0;
  double low = 0;
  double high = 0;
};

/// How many of the `samples` smallest values lie below the interval of median_interval().
std::size_t values_below_interval(std::size_t samples);

/// The median of `samples` (at least one) and the two of them between which the median of what they
/// were drawn from lies with a probability of at least 95%, whatever its distribution: the ranks
/// follow from the binomial distribution (David and Nagaraja 2003, "Order Statistics", 7.1). Fewer
/// than six samples are too few for that, and the interval is their range.
MedianInterval median_interval(std::vector<double> samples);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_ORDER_STATISTICS_H_
