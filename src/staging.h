#ifndef ROPEJIT_SRC_STAGING_H_
#define ROPEJIT_SRC_STAGING_H_

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>

#include "src/driver.h"

struct CUstream_st;

namespace ropejit {

/// Copies blocks of one size to the device, on a stream, from memory that the caller may change as
/// soon as the call returns. CUDA promises that for no asynchronous copy (from pageable memory it
/// "might" be synchronous; a caller's memory may be page-locked, or read by the device itself), so
/// a block first goes to one of a few page-locked slots. Thread-safe.
class Staging {
 public:
  /// The slots are made by the first copy: few need them.
  Staging(std::shared_ptr<const Device> device, std::size_t bytes);

  const Device& device() const noexcept { return *device_; }

  /// Copies `bytes` from `from` to device memory `to`, after what is on `stream` and before what
  /// follows. Waits only if the last kSlots copies have all still to run. `stream` must not be in
  /// a capture. Throws Error(driver).
  void copy(void* to, const void* from, CUstream_st* stream);

  static constexpr std::size_t kSlots = 4;

 private:
  void make_slots();

  const std::shared_ptr<const Device> device_;
  const std::size_t bytes_;
  std::mutex mutex_;  // of all below
  PinnedBuffer slots_;
  std::array<Event, kSlots> read_;  // a slot's last copy has run
  std::size_t next_ = 0;
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_STAGING_H_
