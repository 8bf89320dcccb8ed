#include "tools/tune_timer.h"

#include <algorithm>
#include <utility>

#include "tools/calls.h"
#include "tools/measure.h"

namespace ropejit {
namespace {

/// Long against what begins and ends a graph, short for hundreds of candidates.
constexpr MeasureOptions kReplays{.replay_us = 200};
constexpr std::size_t kPilotCalls = 4;

Workload workload_of(const TuneCell& cell, bool in_place) {
  Workload workload{cell.spec, cell.frequencies, cell.tokens, in_place};
  workload.frequencies.attention_factor = 1;  // in place it would be applied again and again
  return workload;
}

}  // namespace

CellTimer::CellTimer(Runtime& runtime, std::shared_ptr<const Device> device, const TuneCell& cell)
    : runtime_(runtime),
      device_(std::move(device)),
      tokens_(cell.tokens),
      stream_(device_->create_stream()),
      out_of_place_{WorkloadRing(device_, workload_of(cell, false))},
      in_place_{WorkloadRing(device_, workload_of(cell, true))} {}

Graph CellTimer::capture(const Way& way, const Rope& rope, std::size_t calls) const {
  const Call call = apply_call(rope, way.ring);
  return device_->capture(stream_.get(), [&] {
    for (std::size_t i = 0; i < calls; ++i) call(i % way.ring.sets(), stream_.get());
  });
}

Graph CellTimer::capture(Way& way, const Rope& rope) const {
  if (way.calls == 0) {
    const std::size_t calls = std::max(way.ring.sets(), kPilotCalls);
    const Graph pilot = capture(std::as_const(way), rope, calls);
    way.calls = calls_per_replay(way.ring.sets(), replay(pilot, calls), kReplays);
  }
  Graph graph = capture(std::as_const(way), rope, way.calls);
  graph.launch(stream_.get());  // uploads it
  return graph;
}

double CellTimer::replay(const Graph& graph, std::size_t calls) const {
  graph.launch(stream_.get());  // so that the device does not wait for the host in the next one
  return static_cast<double>(graph.time(stream_.get(), 1)) * 1000 / static_cast<double>(calls);
}

const CellTimer::Entry* CellTimer::find(const LaunchConfig& config) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.config == config; });
  return found == entries_.end() ? nullptr : &*found;
}

void CellTimer::prepare(const LaunchConfig& config) {
  if (find(config) != nullptr) return;
  const Workload& workload = out_of_place_.ring.workload();
  const Rope rope =
      runtime_.rope(workload.spec, workload.frequencies, device_->info().ordinal, config);
  entries_.push_back({config, rope, capture(out_of_place_, rope), capture(in_place_, rope)});
}

CallTimes CellTimer::time(const LaunchConfig& config) const {
  const Entry& entry = *find(config);
  return {replay(entry.out_of_place, out_of_place_.calls), replay(entry.in_place, in_place_.calls)};
}

}  // namespace ropejit
