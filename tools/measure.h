#ifndef ROPEJIT_TOOLS_MEASURE_H_
#define ROPEJIT_TOOLS_MEASURE_H_

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "src/driver.h"

namespace ropejit {

/// GPU time of one call in microseconds: the median over the rounds, and the interval that holds it
/// (see median_interval()).
struct Timing {
  double us = 0;
  double low = 0;
  double high = 0;
  int rounds = 0;
};

/// How long to measure.
struct MeasureOptions {
  /// Time for the rounds of all that is measured together, within the bounds below. Preparing and
  /// warming up is not counted; it takes about as long as two rounds.
  double budget_ms = 100;
  int least_rounds = 7;
  int most_rounds = 201;
  /// What one replay should take: long against the 1 to 2 µs between two graphs.
  double replay_us = 500;
};

/// Runs one of several things that are timed against each other, and returns the microseconds that
/// one call of it took.
using Sample = std::function<double()>;
/// Milliseconds from some moment on.
using Clock = std::function<double()>;

/// Takes every sample once per round, so that whatever drifts (clocks, temperature, neighbours)
/// drifts for all alike; each round begins with another one. The rounds go on until the budget is
/// spent.
std::vector<Timing> sample_interleaved(std::span<const Sample> samples,
                                       const MeasureOptions& options, const Clock& clock);

/// Enqueues one call on `stream`, on set `set` of a ring of buffers.
using Call = std::function<void(std::size_t set, CUstream_st* stream)>;

/// How many calls of `call_us` one graph has: whole rings of `sets` calls, so many that they take
/// options.replay_us or longer, unless that is more than 1024 calls and one ring.
std::size_t calls_per_replay(std::size_t sets, double call_us, const MeasureOptions& options);

/// GPU time of each of `calls`, which take the sets of a ring in turn: as a CUDA graph of many
/// calls that is replayed once per round, between two events, right behind an untimed replay, so
/// that the device never waits for the host. Throws what the calls throw, and Error(driver).
std::vector<Timing> measure_interleaved(const Device& device, std::span<const Call> calls,
                                        std::size_t sets, const MeasureOptions& options = {});

/// Keeps the device busy with copies for about `milliseconds`, so that its clocks are up.
void warm_up(const Device& device, double milliseconds);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_MEASURE_H_
