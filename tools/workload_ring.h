#ifndef ROPEJIT_TOOLS_WORKLOAD_RING_H_
#define ROPEJIT_TOOLS_WORKLOAD_RING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ropejit/args.h"
#include "src/driver.h"
#include "tools/workload.h"

namespace ropejit {

/// Bytes of device memory that a WorkloadRing takes on a device with that much cache.
std::int64_t ring_bytes(const Workload& workload, std::int64_t l2_bytes) noexcept;

/// A workload on a device: a ring of buffer sets (see ring_sets()), each with q and k and a place
/// for what becomes of them, all filled with random numbers; and what the sets share: positions,
/// table and frequencies. The calls that are measured take one set after the other.
class WorkloadRing {
 public:
  /// Allocates and fills, and waits for it. Throws Error(invalid_argument) for a bad workload and
  /// Error(driver), for lack of memory for example.
  WorkloadRing(std::shared_ptr<const Device> device, const Workload& workload);

  const Device& device() const noexcept { return *device_; }
  const Workload& workload() const noexcept { return workload_; }
  std::size_t sets() const noexcept { return args_.size(); }

  /// The arguments of the call on a set, without dependent launch.
  const RopeArgs& args(std::size_t set) const noexcept { return args_[set]; }
  /// The frequencies on the device; nullptr with AngleSource::table.
  const std::uint64_t* turns() const noexcept {
    return static_cast<const std::uint64_t*>(turns_.data());
  }
  /// What is compared with: of `copy_bytes()` bytes from `copy_from` to `copy_to`, which are as
  /// many as the call reads. In place nothing but a copy writes to `copy_to`.
  const void* copy_from(std::size_t set) const noexcept { return inputs_[set].data(); }
  void* copy_to(std::size_t set) const noexcept { return outputs_[set].data(); }
  std::size_t copy_bytes() const noexcept {
    return static_cast<std::size_t>(bytes_moved(workload_) / 2);
  }

 private:
  void fill_sets();
  RopeArgs args_of_set(std::size_t set) const;

  std::shared_ptr<const Device> device_;
  Workload workload_;
  std::vector<DeviceBuffer> inputs_;   ///< by set: q, then k
  std::vector<DeviceBuffer> outputs_;  ///< by set: likewise
  DeviceBuffer positions_, cu_seqlens_, table_, turns_;
  std::vector<RopeArgs> args_;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_WORKLOAD_RING_H_
