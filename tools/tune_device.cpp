#include "tools/tune_device.h"

#include "ropejit/error.h"
#include "src/tuning_table.h"

namespace ropejit {

DeviceMeasurer::DeviceMeasurer(Runtime& runtime, int device, unsigned threads,
                               std::atomic<bool>& stop)
    : runtime_(runtime),
      executor_(runtime, device),
      device_(executor_.device().shared_from_this()),
      check_(runtime, device, executor_, threads),
      stop_(stop) {}

std::vector<LaunchConfig> DeviceMeasurer::space(const TuneCell& cell) {
  return tune_space(cell.spec, cell.tokens, device_class(device_->info()), cell.incumbent);
}

void DeviceMeasurer::check_device(const std::string& failure) {
  if (lost_) return;
  try {
    device_->synchronize();
  } catch (const Error&) {
    lost_ = failure;
    stop_ = true;
  }
}

std::vector<Vetting> DeviceMeasurer::vet(const TuneCell& cell,
                                         std::span<const LaunchConfig> configs) {
  check_.build(cell, space(cell));  // all at once: more than vetting a few needs, on more threads
  std::vector<Vetting> vettings = check_.vet(cell, configs);
  for (const Vetting& vetting : vettings) {
    if (vetting.verdict == Verdict::runtime) check_device(vetting.message);
  }
  return vettings;
}

CellTimer& DeviceMeasurer::timer_of(const TuneCell& cell) {
  if (timer_ == nullptr || spec_ != cell.spec || timer_->tokens() != cell.tokens) {
    timer_.reset();  // its buffers make room for the new ones
    timer_ = std::make_unique<CellTimer>(runtime_, device_, cell);
    spec_ = cell.spec;
  }
  return *timer_;
}

std::vector<CallTimes> DeviceMeasurer::measure(const TuneCell& cell,
                                               std::span<const LaunchConfig> configs) {
  CellTimer& timer = timer_of(cell);
  const auto attempt = [&](const LaunchConfig& config, const auto& step) {
    try {
      return step(config);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::driver) throw;
      check_device(error.what());
      throw MeasureFailure(config, error.what());
    }
  };
  // The device idles while graphs are made, so all are made before the first is timed.
  for (const LaunchConfig& config : configs) {
    attempt(config, [&](const LaunchConfig& one) { timer.prepare(one); });
  }
  std::vector<CallTimes> times;
  for (const LaunchConfig& config : configs) {
    times.push_back(attempt(config, [&](const LaunchConfig& one) { return timer.time(one); }));
  }
  return times;
}

}  // namespace ropejit
