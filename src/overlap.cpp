#include "src/overlap.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace ropejit {
namespace {

constexpr std::size_t kDimensions = std::tuple_size_v<decltype(Region::counts)>;

__extension__ typedef __int128 Wide;  // sums of stride x count cannot overflow

/// stride * z for some z in [low, high]; stride > 0.
struct Term {
  Wide stride;
  Wide low;
  Wide high;
};

/// Is there a choice of z with first <= sum of stride * z <= last? With `nonzero`, one where not
/// every z is 0. Terms by descending stride: what the inner terms can reach leaves each outer z few
/// values when strides nest, as those of real tensors do.
class Search {
 public:
  void add(Wide stride, Wide low, Wide high) {
    Term term{stride, low, high};
    if (stride < 0) term = {-stride, -high, -low};
    int place = count_++;
    for (; place > 0 && at(place - 1).stride < term.stride; --place) at(place) = at(place - 1);
    at(place) = term;
  }

  bool solvable(Wide first, Wide last, bool nonzero) {
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

  std::array<Term, 2 * kDimensions> terms_{};
  int count_ = 0;
  int budget_ = 10000;
};

/// First byte, and one past the last.
struct Extent {
  Wide first;
  Wide end;
};

Extent extent(const Region& region) {
  Extent extent{static_cast<Wide>(region.base), static_cast<Wide>(region.base) + region.run_bytes};
  for (std::size_t i = 0; i < kDimensions; ++i) {
    const Wide reach = static_cast<Wide>(region.counts[i] - 1) * region.strides[i];
    (reach < 0 ? extent.first : extent.end) += reach;
  }
  return extent;
}

/// Sufficient for most tensors: each stride steps over all that the smaller ones reach.
bool nests(const Region& region) {
  struct Dimension {
    std::uint64_t stride;
    std::int64_t count;
  };
  const auto dimension = [&](std::size_t i) {
    const auto stride = static_cast<std::uint64_t>(region.strides[i]);
    return Dimension{region.strides[i] < 0 ? -stride : stride, region.counts[i]};
  };
  std::array<Dimension, kDimensions> inner_first{dimension(3), dimension(2), dimension(1),
                                                 dimension(0)};
  const auto order = [&](std::size_t a, std::size_t b) {
    if (inner_first[a].stride > inner_first[b].stride) std::swap(inner_first[a], inner_first[b]);
  };
  for (const auto& [a, b] : {std::pair{0, 1}, {2, 3}, {0, 2}, {1, 3}, {1, 2}}) order(a, b);
  auto reach = static_cast<std::uint64_t>(region.run_bytes);
  for (const Dimension& next : inner_first) {
    if (next.count == 1) continue;
    std::uint64_t steps = 0;
    if (next.stride < reach || __builtin_mul_overflow(next.stride, next.count - 1, &steps) ||
        __builtin_add_overflow(reach, steps, &reach)) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool overlaps_itself(const Region& region) noexcept {
  if (nests(region)) return false;
  Search search;
  for (std::size_t i = 0; i < kDimensions; ++i) {
    if (region.counts[i] == 1) continue;
    if (region.strides[i] == 0) return true;
    search.add(region.strides[i], 1 - region.counts[i], region.counts[i] - 1);
  }
  return search.solvable(1 - region.run_bytes, region.run_bytes - 1, true);
}

bool overlap(const Region& a, const Region& b) noexcept {
  const Extent extent_a = extent(a), extent_b = extent(b);
  if (extent_a.end <= extent_b.first || extent_b.end <= extent_a.first) return false;
  Search search;
  for (std::size_t i = 0; i < kDimensions; ++i) {
    if (a.strides[i] != 0 && a.counts[i] > 1) search.add(a.strides[i], 0, a.counts[i] - 1);
    if (b.strides[i] != 0 && b.counts[i] > 1) search.add(b.strides[i], 1 - b.counts[i], 0);
  }
  // Runs at A and B share a byte when -a.run_bytes < A - B < b.run_bytes.
  const Wide base = static_cast<Wide>(a.base) - static_cast<Wide>(b.base);
  return search.solvable(1 - a.run_bytes - base, b.run_bytes - 1 - base, false);
}

}  // namespace ropejit
