#ifndef ROPEJIT_SRC_TUNING_TABLE_H_
#define ROPEJIT_SRC_TUNING_TABLE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ropejit/runtime.h"
#include "ropejit/tuning.h"
#include "src/kernel_plan.h"
#include "src/tuning_file.h"
#include "src/tuning_lookup.h"
#include "src/tuning_shipped.h"

namespace ropejit {

struct DeviceInfo;
DeviceClass device_class(const DeviceInfo& info);

/// A tuned file and where it is from.
struct TuningLayer {
  std::string name;  ///< for people: the path
  TuningFile file;
};

/// What was measured, from several files, and the choice of a launch config by it. Immutable, hence
/// thread-safe.
///
/// Of all entries of the device class, in whatever layer, the one that fits best is taken: by
/// Match, then by distance (tuning_distance.h), then by layer, then by the smaller token count. An
/// entry whose config cannot run for the spec on the device is passed over.
class TuningTable {
 public:
  /// `layers` in the order of their precedence; `shipped` comes after them.
  TuningTable(std::vector<TuningLayer> layers, std::span<const ShippedRun> shipped);
  /// The user's file, the system's and the shipped ones. Throws Error for options.tuned_file that
  /// cannot be read; the others are passed over with one log line each if they cannot.
  static TuningTable load(const RuntimeOptions& options);

  TuningTable(TuningTable&&) = default;
  TuningTable& operator=(TuningTable&&) = default;
  TuningTable(const TuningTable&) = delete;
  TuningTable& operator=(const TuningTable&) = delete;

  /// For a valid spec and at least one token.
  ConfigChoice choose(const RopeSpec& spec, const DeviceClass& device_class,
                      std::int64_t tokens) const;
  /// The configs of choose(), for every bucket at once.
  BucketConfigs configs(const RopeSpec& spec, const DeviceClass& device_class) const;

  /// What a Rope of `spec` consists of on a device of the class.
  KernelPlan plan(const RopeSpec& spec, const DeviceClass& device_class) const;
  /// The kernels of plan() for whatever device of an architecture (`sm_90`): one of no class in a
  /// file first, then the classes of the files. Each once.
  std::vector<KernelPlan::Kernel> all_kernels(const RopeSpec& spec, std::string_view arch) const;

  /// Those that have entries, each once.
  std::vector<DeviceClass> device_classes() const;
  bool knows(const DeviceClass& device_class) const;
  /// The class of devices that go by this name, in any case; the first of several.
  std::optional<DeviceClass> find_device_class(std::string_view alias) const;
  /// All names of devices, in the order of the layers, each once.
  std::vector<std::string> aliases() const;

 private:
  std::vector<std::vector<TuningEntry>> owned_;  ///< what sections of files refer to
  std::vector<TuningSection> sections_;
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_TUNING_TABLE_H_
