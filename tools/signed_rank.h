#ifndef ROPEJIT_TOOLS_SIGNED_RANK_H_
#define ROPEJIT_TOOLS_SIGNED_RANK_H_

#include <span>

namespace ropejit {

/// An estimate of what symmetrically scattered samples scatter around, and an interval around it.
struct CenterInterval {
  double center = 0;
  double low = 0;
  double high = 0;
};

/// The median of the means of all pairs of samples, each with itself included, and the two of these
/// means between which the true centre lies with a probability of 99% (Hodges and Lehmann 1963;
/// the ranks by the normal approximation of Wilcoxon's signed-rank statistic). Outliers move it as
/// little as they move the median, but it needs two thirds of the median's samples to be as exact.
/// Fewer than ten samples are too few for that, and the interval is their range. Of more than 96,
/// groups of consecutive ones are averaged first, so that it costs a tenth of a millisecond at
/// most. At least one sample.
CenterInterval center_interval(std::span<const double> samples);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_SIGNED_RANK_H_
