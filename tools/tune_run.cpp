#include "tools/tune_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include "ropejit/error.h"
#include "tools/benchmark_json.h"
#include "tools/order_statistics.h"

namespace ropejit {
namespace {

using Time = std::chrono::steady_clock::time_point;

Time now() { return std::chrono::steady_clock::now(); }

bool is_same_spec(const RopeSpec& a, const RopeSpec& b) { return spec_class(a) == spec_class(b); }

/// Adds the configs of a recording that must not be tried in a cell: those that failed in it
/// before it was complete, and those that crashed anywhere in its spec.
void add_rejected(std::vector<Candidate>& rejected, const Recording& recording,
                  const TuneCell& cell) {
  for (const CellRecord& record : recording.cells) {
    if (!is_same_spec(record.spec, cell.spec)) continue;
    for (const Candidate& candidate : record.candidates) {
      const Verdict verdict = candidate.vetting.verdict;
      const bool here = record.tokens == cell.tokens && verdict != Verdict::correct;
      const bool known = std::any_of(rejected.begin(), rejected.end(), [&](const Candidate& other) {
        return other.config == candidate.config;
      });
      if (!known && (here || verdict == Verdict::runtime)) rejected.push_back(candidate);
    }
  }
}

bool is_out_of_memory(const Error& error) {
  return error.code() == ErrorCode::driver &&
         std::string_view(error.what()).find("CUDA_ERROR_OUT_OF_MEMORY") != std::string_view::npos;
}

CellRecord search(const TuneCell& cell, Measurer& measurer, const Recording& recording,
                  const Recording& earlier, const std::optional<LaunchConfig>& neighbour,
                  const SearchOptions& options, const std::atomic<bool>& stop) {
  SearchStart start{neighbour, {}};
  for (const Recording* known : {&earlier, &recording}) add_rejected(start.rejected, *known, cell);
  CellRecord record = search_cell(cell, measurer, start, options, stop);
  record.timestamp = utc_now();
  return record;
}

MeasuredConfig measured(const CellRecord& record, const LaunchConfig& config, int& samples) {
  std::vector<double> values;
  for (const Candidate& candidate : record.candidates) {
    if (candidate.config != config) continue;
    for (const TimedRound& timed : candidate.rounds) {
      if (timed.round >= record.final_from) values.push_back(timed.times.combined_us());
    }
  }
  samples = std::min(samples, static_cast<int>(values.size()));
  const MedianInterval interval = median_interval(std::move(values));
  return {config, interval.median, interval.low, interval.high};
}

TuningEntry entry_of(const CellRecord& record, const Choice& choice) {
  TuningEntry entry;
  entry.spec = spec_class(record.spec);
  entry.tokens = record.tokens;
  entry.samples = std::numeric_limits<int>::max();
  entry.chosen = measured(record, choice.config, entry.samples);
  if (choice.default_us > 0) {
    entry.baseline = measured(record, default_config(record.spec, record.tokens), entry.samples);
  }
  return entry;
}

}  // namespace

std::vector<TuneCell> tune_cells(std::span<const Input> inputs, std::vector<std::int64_t> tokens) {
  std::sort(tokens.begin(), tokens.end());
  std::set<SpecClass> seen;
  std::vector<TuneCell> cells;
  for (const Input& input : inputs) {
    if (!seen.insert(spec_class(input.spec)).second) continue;
    for (const std::int64_t count : tokens) cells.push_back({input.spec, input.frequencies, count});
  }
  return cells;
}

Recording tune(std::span<const TuneCell> cells, Measurer& measurer, const Recording& earlier,
               const SearchOptions& options, const std::atomic<bool>& stop,
               const std::function<void(const TuneStep&)>& on_cell) {
  Recording recording{earlier.device_class, earlier.provenance, {}};
  std::optional<LaunchConfig> neighbour;
  for (std::size_t i = 0; i < cells.size() && !stop; ++i) {
    const TuneCell& cell = cells[i];
    if (i > 0 && !is_same_spec(cell.spec, cells[i - 1].spec)) neighbour.reset();
    const Time start = now();
    const CellRecord* found = earlier.find(cell.spec, cell.tokens);
    TuneStep step{i + 1, cells.size(),
                  fmt::format("{}, {} tokens", describe(cell.spec), cell.tokens)};
    step.resumed = found != nullptr && found->complete;
    try {
      recording.cells.push_back(
          step.resumed ? *found
                       : search(cell, measurer, recording, earlier, neighbour, options, stop));
      step.cell = &recording.cells.back();
    } catch (const Error& error) {
      if (!is_out_of_memory(error)) throw;
      step.problem = error.what();
    }
    if (step.cell != nullptr && step.cell->complete) step.choice = choose(*step.cell);
    if (step.choice) neighbour = step.choice->config;
    step.seconds = std::chrono::duration<double>(now() - start).count();
    on_cell(step);
  }
  return recording;
}

std::vector<std::optional<Choice>> choices_of(const Recording& recording) {
  std::vector<std::optional<Choice>> choices;
  for (const CellRecord& cell : recording.cells) {
    choices.push_back(cell.complete ? choose(cell) : std::nullopt);
  }
  return choices;
}

TuningRun tuning_run(const Recording& recording) {
  TuningRun run{recording.device_class, {recording.provenance.device}, recording.provenance, {}};
  const std::vector<std::optional<Choice>> choices = choices_of(recording);
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (choices[i]) run.entries.push_back(entry_of(recording.cells[i], *choices[i]));
  }
  return run;
}

TuningFile with_run(TuningFile file, const TuningRun& run) {
  for (TuningRun& other : file.runs) {
    if (other.device_class != run.device_class) continue;
    std::erase_if(other.entries, [&](const TuningEntry& old) {
      return std::any_of(run.entries.begin(), run.entries.end(), [&](const TuningEntry& entry) {
        return entry.spec == old.spec && entry.tokens == old.tokens;
      });
    });
  }
  std::erase_if(file.runs, [](const TuningRun& other) { return other.entries.empty(); });
  if (!run.entries.empty()) file.runs.push_back(run);
  return file;
}

}  // namespace ropejit
