#ifndef ROPEJIT_TESTS_GPU_FIXTURE_H_
#define ROPEJIT_TESTS_GPU_FIXTURE_H_

#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "ropejit/error.h"
#include "ropejit/runtime.h"
#include "src/driver.h"
#include "tools/scratch_folder.h"
#include "tools/verify_executor.h"

namespace ropejit {

/// Device 0, and a Runtime with an empty cache folder of its own.
struct Gpu {
  ScratchFolder cache;
  Runtime runtime{[this] {
    RuntimeOptions options = RuntimeOptions::from_environment();
    options.cache_dir = cache.path().string();
    return options;
  }()};
  DeviceExecutor executor{runtime, 0};

  const Device& device() const { return executor.device(); }
};

/// Why there is no device; empty: there is one.
inline std::string no_gpu_reason() {
  try {
    const auto driver = Driver::open(RuntimeOptions::from_environment().cuda_library);
    return driver->device_count() > 0 ? "" : "the driver has no device";
  } catch (const Error& error) {
    return error.what();
  }
}

/// One for all tests of a program. Every test asks for it first: where there is no device, the
/// program ends as skipped, with exit code 77.
inline Gpu& gpu() {
  static const std::unique_ptr<Gpu> made = [] {
    if (const std::string reason = no_gpu_reason(); !reason.empty()) {
      fmt::print("skipped, no GPU: {}\n", reason);
      std::exit(77);
    }
    return std::make_unique<Gpu>();
  }();
  return *made;
}

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_GPU_FIXTURE_H_
