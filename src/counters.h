#ifndef ROPEJIT_SRC_COUNTERS_H_
#define ROPEJIT_SRC_COUNTERS_H_

#include <atomic>
#include <cstdint>

namespace ropejit {

/// The counts behind Stats, shared by whatever counts. Relaxed: they order nothing.
struct Counters {
  std::atomic<std::uint64_t> memory_hits{0};
  std::atomic<std::uint64_t> disk_hits{0};
  std::atomic<std::uint64_t> misses{0};
  std::atomic<std::uint64_t> damaged{0};
  std::atomic<std::uint64_t> driver_refused{0};
  std::atomic<std::uint64_t> compiles{0};
  std::atomic<std::uint64_t> write_failures{0};
  std::atomic<std::uint64_t> unaligned_calls{0};
};

inline void count(std::atomic<std::uint64_t>& counter) noexcept {
  counter.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace ropejit

#endif  // ROPEJIT_SRC_COUNTERS_H_
