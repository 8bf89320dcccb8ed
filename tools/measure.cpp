#include "tools/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "tools/order_statistics.h"

namespace ropejit {
namespace {

constexpr std::size_t kPilotCalls = 4;
constexpr std::size_t kMostCalls = 1024;
constexpr std::size_t kWarmUpBytes = std::size_t{64} << 20;

double milliseconds_now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

/// A call many times over.
struct Replay {
  Graph graph;
  std::size_t calls;
};

Replay capture(const Device& device, const Stream& stream, const Call& call, std::size_t sets,
               std::size_t calls) {
  return {device.capture(stream.get(),
                         [&] {
                           for (std::size_t i = 0; i < calls; ++i) call(i % sets, stream.get());
                         }),
          calls};
}

/// Microseconds per call.
double time(const Replay& replay, const Stream& stream) {
  replay.graph.launch(stream.get());
  return static_cast<double>(replay.graph.time(stream.get(), 1)) * 1000 /
         static_cast<double>(replay.calls);
}

/// A graph of the right length for the call, warmed up.
Replay prepare(const Device& device, const Stream& stream, const Call& call, std::size_t sets,
               const MeasureOptions& options) {
  Replay pilot = capture(device, stream, call, sets, std::max(sets, kPilotCalls));
  const std::size_t calls = calls_per_replay(sets, time(pilot, stream), options);
  if (calls == pilot.calls) return pilot;
  Replay replay = capture(device, stream, call, sets, calls);
  time(replay, stream);
  return replay;
}

Timing summarize(std::vector<double> samples) {
  const auto rounds = static_cast<int>(samples.size());
  const MedianInterval interval = median_interval(std::move(samples));
  return {interval.median, interval.low, interval.high, rounds};
}

}  // namespace

std::vector<Timing> sample_interleaved(std::span<const Sample> samples,
                                       const MeasureOptions& options, const Clock& clock) {
  std::vector<std::vector<double>> times(samples.size());
  const double end = clock() + options.budget_ms;
  const auto least = static_cast<std::size_t>(options.least_rounds);
  const auto most = static_cast<std::size_t>(options.most_rounds);
  for (std::size_t round = 0; round < most && (round < least || clock() < end); ++round) {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const std::size_t next = (round + i) % samples.size();
      times[next].push_back(samples[next]());
    }
  }
  std::vector<Timing> timings;
  for (std::vector<double>& taken : times) timings.push_back(summarize(std::move(taken)));
  return timings;
}

std::size_t calls_per_replay(std::size_t sets, double call_us, const MeasureOptions& options) {
  const double wanted = std::ceil(options.replay_us / std::max(call_us, 0.001));
  const auto calls =
      static_cast<std::size_t>(std::clamp(wanted, 1.0, static_cast<double>(kMostCalls)));
  return (calls + sets - 1) / sets * sets;
}

std::vector<Timing> measure_interleaved(const Device& device, std::span<const Call> calls,
                                        std::size_t sets, const MeasureOptions& options) {
  const Stream stream = device.create_stream();
  std::vector<Replay> replays;
  for (const Call& call : calls) replays.push_back(prepare(device, stream, call, sets, options));
  std::vector<Sample> samples;
  for (const Replay& replay : replays) {
    samples.emplace_back([&replay, &stream] { return time(replay, stream); });
  }
  return sample_interleaved(samples, options, milliseconds_now);
}

void warm_up(const Device& device, double milliseconds) {
  const DeviceBuffer from = device.allocate(kWarmUpBytes);
  const DeviceBuffer to = device.allocate(kWarmUpBytes);
  const Stream stream = device.create_stream();
  const Call copy = [&](std::size_t, CUstream_st* on) {
    device.copy_async(to.data(), from.data(), kWarmUpBytes, on);
  };
  const Replay replay = capture(device, stream, copy, 1, kPilotCalls);
  const double end = milliseconds_now() + milliseconds;
  while (milliseconds_now() < end) time(replay, stream);
}

}  // namespace ropejit
