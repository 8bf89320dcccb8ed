#include "src/overlap.h"

#include <algorithm>
#include <cstdlib>

namespace ropejit {
namespace {

__extension__ typedef __int128 Wide;  // sums of stride x count cannot overflow

/// stride * z for some z in [low, high]; stride > 0.
struct Term {
  std::int64_t stride;
  Wide low;
  Wide high;
};

/// Is there a choice of z with first <= sum of stride * z <= last? With `nonzero`, one where not
/// every z is 0. Terms by descending stride: what the inner terms can reach leaves each outer z few
/// values when strides nest, as those of real tensors do.
class Search {
 public:
  void add(std::int64_t stride, Wide low, Wide high) {
    Term term{stride, low, high};
    if (stride < 0) term = {-stride, -high, -low};
    terms_[static_cast<std::size_t>(count_++)] = term;
  }

  bool solvable(Wide first, Wide last, bool nonzero) {
    std::sort(terms_.begin(), terms_.begin() + count_,
              [](const Term& a, const Term& b) { return a.stride > b.stride; });
    merge_equal_strides(nonzero);
    return descend(0, first, last, nonzero);
  }

 private:
  /// Two free indices of one stride act as one over the sum of their ranges. Not with `nonzero`,
  /// where they may cancel each other.
  void merge_equal_strides(bool nonzero) {
    if (nonzero) return;
    int kept = 0;
    for (int i = 0; i < count_; ++i) {
      if (kept > 0 && at(kept - 1).stride == at(i).stride) {
        at(kept - 1).low += at(i).low;
        at(kept - 1).high += at(i).high;
      } else {
        at(kept++) = at(i);
      }
    }
    count_ = kept;
  }

  bool descend(int depth, Wide first, Wide last, bool nonzero) {
    if (depth == count_) return !nonzero && first <= 0 && 0 <= last;
    if (--budget_ < 0) return true;
    Wide inner_low = 0, inner_high = 0;
    for (int i = depth + 1; i < count_; ++i) {
      inner_low += at(i).stride * at(i).low;
      inner_high += at(i).stride * at(i).high;
    }
    const Term& term = at(depth);
    const Wide from = std::max(term.low, divide_up(first - inner_high, term.stride));
    const Wide to = std::min(term.high, divide_down(last - inner_low, term.stride));
    for (Wide z = from; z <= to; ++z) {
      const Wide part = z * term.stride;
      if (descend(depth + 1, first - part, last - part, nonzero && z == 0)) return true;
      if (budget_ < 0) return true;
    }
    return false;
  }

  static Wide divide_down(Wide n, Wide d) { return n / d - (n % d < 0 ? 1 : 0); }
  static Wide divide_up(Wide n, Wide d) { return -divide_down(-n, d); }
  Term& at(int i) { return terms_[static_cast<std::size_t>(i)]; }

  std::array<Term, 6> terms_{};
  int count_ = 0;
  int budget_ = 10000;
};

/// First byte, and one past the last.
struct Extent {
  Wide first;
  Wide end;
};

Extent extent(const Region& region) {
  Extent extent{static_cast<Wide>(region.base), static_cast<Wide>(region.base) + region.row_bytes};
  for (std::size_t i = 0; i < 3; ++i) {
    const Wide reach = static_cast<Wide>(region.counts[i] - 1) * region.strides[i];
    (reach < 0 ? extent.first : extent.end) += reach;
  }
  return extent;
}

/// Sufficient for most tensors: some order of the strides nests. Checked for the two usual orders.
bool nests(const Region& r, std::size_t outer, std::size_t middle, std::size_t inner) {
  const auto spans = [&](std::size_t i) {
    return static_cast<Wide>(r.counts[i]) * std::abs(r.strides[i]);
  };
  return std::abs(r.strides[inner]) >= r.row_bytes && std::abs(r.strides[middle]) >= spans(inner) &&
         (r.counts[outer] == 1 || std::abs(r.strides[outer]) >= spans(middle));
}

}  // namespace

bool overlaps_itself(const Region& region) noexcept {
  if (nests(region, 0, 1, 2) || nests(region, 0, 2, 1)) return false;
  Search search;
  for (std::size_t i = 0; i < 3; ++i) {
    if (region.counts[i] == 1) continue;
    if (region.strides[i] == 0) return true;
    search.add(region.strides[i], 1 - region.counts[i], region.counts[i] - 1);
  }
  return search.solvable(1 - region.row_bytes, region.row_bytes - 1, true);
}

bool overlap(const Region& a, const Region& b) noexcept {
  const Extent extent_a = extent(a), extent_b = extent(b);
  if (extent_a.end <= extent_b.first || extent_b.end <= extent_a.first) return false;
  Search search;
  for (std::size_t i = 0; i < 3; ++i) {
    if (a.strides[i] != 0 && a.counts[i] > 1) search.add(a.strides[i], 0, a.counts[i] - 1);
    if (b.strides[i] != 0 && b.counts[i] > 1) search.add(b.strides[i], 1 - b.counts[i], 0);
  }
  // Rows at A and B share a byte when -a.row_bytes < A - B < b.row_bytes.
  const Wide base = static_cast<Wide>(a.base) - static_cast<Wide>(b.base);
  return search.solvable(1 - a.row_bytes - base, b.row_bytes - 1 - base, false);
}

}  // namespace ropejit
