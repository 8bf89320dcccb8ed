#ifndef ROPEJIT_SRC_OVERLAP_H_
#define ROPEJIT_SRC_OVERLAP_H_

#include <array>
#include <cstdint>

namespace ropejit {

/// The bytes of a strided tensor: runs of `run_bytes` at base + the sum of i*stride over the four
/// dimensions, 0 <= i < count. Counts are at least 1; strides are in bytes and may be negative.
struct Region {
  std::uintptr_t base = 0;
  std::array<std::int64_t, 4> counts{1, 1, 1, 1};
  std::array<std::int64_t, 4> strides{};
  std::int64_t run_bytes = 0;

  bool operator==(const Region&) const = default;
};

/// Whether two runs of one region share a byte. Exact; a few nanoseconds for nested strides. A
/// layout so odd that a bounded search does not decide it counts as overlapping.
bool overlaps_itself(const Region& region) noexcept;

/// Whether two regions share a byte: slices of one packed buffer interleave without doing so. Exact
/// as above.
bool overlap(const Region& a, const Region& b) noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_SRC_OVERLAP_H_
