#include "tools/start_timing.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "ropejit/error.h"
#include "src/driver.h"
#include "tools/scratch_folder.h"

namespace ropejit {
namespace {

constexpr int kWarmRuns = 15;

struct Start {
  double milliseconds;
  Stats stats;
};

Start time_one(const RopeSpec& spec, const Frequencies& frequencies, int device,
               const RuntimeOptions& options) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  Runtime runtime(options);
  const Rope rope = runtime.rope(spec, frequencies, device);
  const std::chrono::duration<double, std::milli> elapsed = Clock::now() - begin;
  return {elapsed.count(), runtime.stats()};
}

void check_warm(const Stats& stats) {
  if (stats.compiles == 0 && stats.misses == 0 && !stats.nvrtc_opened) return;
  throw Error(
      ErrorCode::driver,
      fmt::format("a warm start compiled {} kernels, missed {} in the cache and {} NVRTC",
                  stats.compiles, stats.misses, stats.nvrtc_opened ? "opened" : "did not open"));
}

}  // namespace

StartTiming measure_start(const RopeSpec& spec, const Frequencies& frequencies, int device,
                          const RuntimeOptions& options) {
  // Held throughout, so that no Runtime starts the driver or makes the context.
  const auto held = Device::open(Driver::open(options.cuda_library), device);
  const ScratchFolder folder;
  RuntimeOptions own;
  own.cache_dir = (folder.path() / "cache").string();
  own.nvrtc_library = options.nvrtc_library;
  own.cuda_library = options.cuda_library;

  const Start cold = time_one(spec, frequencies, device, own);
  StartTiming timing{cold.milliseconds, 0, kWarmRuns, cold.stats, {}};
  std::vector<double> warm;
  for (int run = 0; run < kWarmRuns; ++run) {
    const Start start = time_one(spec, frequencies, device, own);
    check_warm(start.stats);
    warm.push_back(start.milliseconds);
    timing.warm = start.stats;
  }
  std::nth_element(warm.begin(), warm.begin() + kWarmRuns / 2, warm.end());
  timing.warm_ms = warm[kWarmRuns / 2];
  return timing;
}

}  // namespace ropejit
