#ifndef ROPEJIT_SRC_TUNING_SHIPPED_H_
#define ROPEJIT_SRC_TUNING_SHIPPED_H_

#include <span>
#include <string_view>

#include "src/tuning_file.h"

namespace ropejit {

/// A run of a file of tuned/ as it was when the library was built.
struct ShippedRun {
  std::string_view file;  ///< its name without its folder
  DeviceClass device_class;
  std::span<const std::string_view> aliases;
  std::span<const TuningEntry> entries;
};

/// All runs of all files of tuned/, by file name. Static storage; the build generates the
/// definition.
std::span<const ShippedRun> shipped_tuning() noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_SRC_TUNING_SHIPPED_H_
