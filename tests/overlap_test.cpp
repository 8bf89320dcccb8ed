#include "src/overlap.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace ropejit {
namespace {

/// How many runs cover each byte of a small stretch of addresses.
std::vector<int> coverage(const Region& region) {
  std::vector<int> runs(2048, 0);
  for (std::int64_t i = 0; i < region.counts[0]; ++i) {
    for (std::int64_t j = 0; j < region.counts[1]; ++j) {
      for (std::int64_t k = 0; k < region.counts[2]; ++k) {
        for (std::int64_t l = 0; l < region.counts[3]; ++l) {
          const std::int64_t run = static_cast<std::int64_t>(region.base) + i * region.strides[0] +
                                   j * region.strides[1] + k * region.strides[2] +
                                   l * region.strides[3];
          for (std::int64_t byte = run; byte < run + region.run_bytes; ++byte) {
            ++runs.at(static_cast<std::size_t>(byte));
          }
        }
      }
    }
  }
  return runs;
}

bool covered_twice(const Region& region) {
  for (const int runs : coverage(region)) {
    if (runs > 1) return true;
  }
  return false;
}

bool share_a_byte(const Region& a, const Region& b) {
  const std::vector<int> rows_a = coverage(a), rows_b = coverage(b);
  for (std::size_t i = 0; i < rows_a.size(); ++i) {
    if (rows_a[i] > 0 && rows_b[i] > 0) return true;
  }
  return false;
}

/// Regions whose strides are of the kinds that tensors have: nested, transposed, sliced, reversed,
/// broadcast, and plainly odd.
class RandomRegions {
 public:
  Region next() {
    Region region;
    region.base = static_cast<std::uintptr_t>(pick(900, 1100));
    region.run_bytes = pick(1, 4);
    std::int64_t reach = region.run_bytes;
    std::array<std::size_t, 4> order{0, 1, 2, 3};
    std::shuffle(order.begin(), order.end(), random_);
    for (const std::size_t i : order) {
      region.counts[i] = pick(1, 4);
      region.strides[i] = pick(0, 2) == 0 ? pick(0, 40) : reach + pick(0, 1) * pick(0, 9);
      if (pick(0, 3) == 0) region.strides[i] = -region.strides[i];
      reach = std::min<std::int64_t>(reach * region.counts[i], 60);
    }
    return region;
  }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  std::mt19937_64 random_{20240607};
};

/// q, k or v of a buffer of `tokens` tokens that holds `heads` heads of 128 bytes each.
Region slice(std::uintptr_t base, std::int64_t tokens, std::int64_t first_head, std::int64_t count,
             std::int64_t heads) {
  return {base + static_cast<std::uintptr_t>(first_head * 128),
          {1, tokens, count, 1},
          {0, heads * 128, 128},
          128};
}

}  // namespace

TEST_CASE("whether the rows of a region overlap is what counting bytes says") {
  RandomRegions regions;
  int overlapping = 0, apart = 0;
  for (int i = 0; i < 20000; ++i) {
    const Region region = regions.next();
    const bool expected = covered_twice(region);
    ++(expected ? overlapping : apart);
    if (overlaps_itself(region) != expected) {
      CAPTURE(i);
      CAPTURE(region.run_bytes);
      FAIL_CHECK("counts ", region.counts[0], " ", region.counts[1], " ", region.counts[2],
                 ", strides ", region.strides[0], " ", region.strides[1], " ", region.strides[2],
                 " ", region.strides[3], ": expected ", expected);
    }
  }
  CHECK(overlapping > 3000);
  CHECK(apart > 3000);
}

TEST_CASE("whether two regions overlap is what counting bytes says, either way round") {
  RandomRegions regions;
  int overlapping = 0, apart = 0;
  for (int i = 0; i < 20000; ++i) {
    const Region a = regions.next(), b = regions.next();
    const bool expected = share_a_byte(a, b);
    ++(expected ? overlapping : apart);
    if (overlap(a, b) != expected || overlap(b, a) != expected) {
      CAPTURE(i);
      FAIL_CHECK("bases ", a.base, " ", b.base, ": expected ", expected);
    }
  }
  CHECK(overlapping > 3000);
  CHECK(apart > 3000);
}

TEST_CASE("the q, k and v of a packed buffer interleave without overlapping") {
  const Region q = slice(4096, 1000, 0, 32, 48), k = slice(4096, 1000, 32, 8, 48);
  const Region v = slice(4096, 1000, 40, 8, 48);
  CHECK(!overlap(q, k));
  CHECK(!overlap(k, v));
  CHECK(!overlap(v, q));
  CHECK(!overlaps_itself(q));
  CHECK(overlap(slice(4096, 1000, 0, 33, 48), k));
  CHECK(overlap(k, slice(4096 + 127, 1000, 40, 8, 48)) == false);
  CHECK(overlap(k, slice(4096 - 1, 1000, 40, 8, 48)));
}

TEST_CASE("a packed buffer of [batch, heads, seq] slices is decided too, at any size") {
  const std::int64_t row = 256, seq = 131072, heads = 48, batch = 64;
  const Region q{1 << 20, {batch, seq, 32, 1}, {heads * seq * row, row, seq * row}, row};
  Region k = q;
  k.base += static_cast<std::uintptr_t>(32 * seq * row);
  k.counts[2] = 8;
  CHECK(!overlap(q, k));
  CHECK(!overlaps_itself(q));
  k.base -= 1;
  CHECK(overlap(q, k));
}

TEST_CASE("elements of transposed heads interleave without overlapping") {
  // [tokens, head_dim, heads]: the heads of q lie beside those of k.
  Region q{1 << 20, {1, 131072, 32, 128}, {0, 128 * 96, 2, 96}, 2};
  Region k = q;
  k.base += 64;
  k.counts[2] = 16;
  CHECK(!overlap(q, k));
  CHECK(!overlaps_itself(q));
  q.counts[2] = 33;
  CHECK(overlap(q, k));
  q.counts[2] = 49;  // one more than there are between two elements
  CHECK(overlaps_itself(q));
}

TEST_CASE("one byte decides between touching and overlapping") {
  const Region a{1000, {1, 1, 4, 1}, {0, 0, 10}, 10};
  CHECK(!overlap(a, Region{1040, {1, 1, 1, 1}, {}, 8}));
  CHECK(overlap(a, Region{1039, {1, 1, 1, 1}, {}, 8}));
  CHECK(!overlap(a, Region{992, {1, 1, 1, 1}, {}, 8}));
  CHECK(overlap(a, Region{993, {1, 1, 1, 1}, {}, 8}));
}

TEST_CASE("a stride of zero makes rows share memory, unless there is one row of it") {
  CHECK(overlaps_itself({1000, {1, 2, 1, 1}, {0, 0, 0}, 4}));
  CHECK(!overlaps_itself({1000, {1, 1, 1, 1}, {0, 0, 0}, 4}));
  CHECK(!overlaps_itself({1000, {1, 3, 1, 1}, {0, 4, 0}, 4}));
  CHECK(overlaps_itself({1000, {1, 3, 1, 1}, {0, 3, 0}, 4}));
}

TEST_CASE("a reversed region occupies what its forward twin does") {
  const Region forward{1000, {1, 8, 1, 1}, {0, 16, 0}, 16};
  const Region reversed{1112, {1, 8, 1, 1}, {0, -16, 0}, 16};
  CHECK(!overlaps_itself(reversed));
  CHECK(overlap(forward, reversed));
  CHECK(!overlap(reversed, Region{1128, {1, 1, 1, 1}, {}, 16}));
  CHECK(overlap(reversed, Region{1000, {1, 1, 1, 1}, {}, 1}));
  CHECK(!overlap(reversed, Region{999, {1, 1, 1, 1}, {}, 1}));
}

TEST_CASE("strides and counts near the limits of 64 bits do not overflow") {
  constexpr std::int64_t kFar = std::int64_t{1} << 58;
  constexpr std::int64_t kMany = std::int64_t{1} << 40;
  const Region spread{1 << 20, {2, kMany, 512, 1}, {kFar, 2048, 4}, 4};
  CHECK(!overlaps_itself(spread));
  CHECK(overlap(spread, Region{(1 << 20) + kFar, {1, 1, 1, 1}, {}, 1}));
  CHECK(!overlap(spread, Region{(1 << 20) - 1, {1, 1, 1, 1}, {}, 1}));

  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  CHECK(!overlaps_itself({1000, {2, 2, 1, 1}, {kLeast, kMost - 100, 0}, 16}));
  CHECK(overlaps_itself({1000, {2, 2, 1, 1}, {kLeast, kMost, 0}, 16}));
  CHECK(!overlap(Region{1000, {2, 1, 1, 1}, {kMost, 0, 0}, 16},
                 Region{2000, {2, 1, 1, 1}, {kLeast, 0, 0}, 16}));
}

}  // namespace ropejit
