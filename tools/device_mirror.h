#ifndef ROPEJIT_TOOLS_DEVICE_MIRROR_H_
#define ROPEJIT_TOOLS_DEVICE_MIRROR_H_

#include <span>
#include <vector>

#include "ropejit/args.h"
#include "src/driver.h"
#include "tools/case_memory.h"

namespace ropejit {

/// Device memory of the same sizes as blocks on the host, to run on a device a call that points
/// into them. Every member waits for the device's work.
class DeviceMirror {
 public:
  /// Allocates, and uploads the blocks. Borrows `device`.
  DeviceMirror(const Device& device, std::span<const Block> blocks);

  /// Copies blocks of the same sizes to the device.
  void upload(std::span<const Block> blocks) const;
  /// Copies what is on the device into blocks of the same sizes.
  void download(std::span<Block> blocks) const;

  /// `args`, which point into `blocks`, with every pointer at the same place on the device. Throws
  /// Error(invalid_argument) for a pointer elsewhere.
  RopeArgs translate(const RopeArgs& args, std::span<const Block> blocks) const;

 private:
  const Device& device_;
  std::vector<DeviceBuffer> copies_;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_DEVICE_MIRROR_H_
