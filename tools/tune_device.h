#ifndef ROPEJIT_TOOLS_TUNE_DEVICE_H_
#define ROPEJIT_TOOLS_TUNE_DEVICE_H_

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ropejit/runtime.h"
#include "src/driver.h"
#include "tools/tune_measurer.h"
#include "tools/tune_timer.h"
#include "tools/tune_vetting.h"
#include "tools/verify_executor.h"

namespace ropejit {

/// Measures on a device.
class DeviceMeasurer : public Measurer {
 public:
  /// Borrows `runtime`, and `stop`, which becomes true when the device is lost. `threads` compile
  /// and verify; 0: one per core. Throws Error(driver) where there is no such device.
  DeviceMeasurer(Runtime& runtime, int device, unsigned threads, std::atomic<bool>& stop);

  std::vector<LaunchConfig> space(const TuneCell& cell) override;
  std::vector<Vetting> vet(const TuneCell& cell, std::span<const LaunchConfig> configs) override;
  std::vector<CallTimes> measure(const TuneCell& cell,
                                 std::span<const LaunchConfig> configs) override;

  const Device& device() const noexcept { return *device_; }
  /// Why the device cannot be used any more, if that is so: a kernel that crashes takes the
  /// process's access to the device with it.
  const std::optional<std::string>& lost() const noexcept { return lost_; }

 private:
  CellTimer& timer_of(const TuneCell& cell);
  /// After a failure: whether it is the end.
  void check_device(const std::string& failure);

  Runtime& runtime_;
  DeviceExecutor executor_;
  std::shared_ptr<const Device> device_;
  CandidateCheck check_;
  std::atomic<bool>& stop_;
  std::optional<std::string> lost_;
  RopeSpec spec_;  ///< of timer_
  std::unique_ptr<CellTimer> timer_;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_DEVICE_H_
