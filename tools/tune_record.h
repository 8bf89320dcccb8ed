#ifndef ROPEJIT_TOOLS_TUNE_RECORD_H_
#define ROPEJIT_TOOLS_TUNE_RECORD_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ropejit/config.h"
#include "ropejit/spec.h"
#include "src/tuning_file.h"
#include "tools/tune_measurer.h"

namespace ropejit {

/// One measurement of a config. Those of one round were taken next to each other.
struct TimedRound {
  int round = 0;
  CallTimes times;

  bool operator==(const TimedRound&) const = default;
};

/// All that is known of a config in a cell.
struct Candidate {
  LaunchConfig config;
  Vetting vetting;
  std::vector<TimedRound> rounds;  ///< ascending
  double measure_ms = 0;           ///< spent on the rounds

  bool operator==(const Candidate&) const = default;
};

/// All that was measured in a cell, in the order in which the configs were tried.
struct CellRecord {
  RopeSpec spec;
  std::int64_t tokens = 1;
  std::optional<LaunchConfig> incumbent{};  ///< see TuneCell
  /// The rounds from this one on compared the configs between which the choice is.
  int final_from = 0;
  /// Whether the search came to its end; else there is no choice to be made of it.
  bool complete = true;
  std::string timestamp;  ///< when it was measured, such as `2026-01-31T12:00:00Z`
  std::vector<Candidate> candidates;

  bool operator==(const CellRecord&) const = default;
};

/// What a tuning measured, as a file: to run a search again without a GPU, to go on where one was
/// interrupted, and to export.
struct Recording {
  DeviceClass device_class;
  TuningProvenance provenance;
  std::vector<CellRecord> cells;

  /// The cell of a token count and of a spec, or one that is tuned alike (see SpecClass); nullptr
  /// if there is none.
  const CellRecord* find(const RopeSpec& spec, std::int64_t tokens) const;
  bool operator==(const Recording&) const = default;
};

/// A JSON document with one line per candidate, times to five digits.
std::string to_json(const Recording& recording);
/// The same of a recording without its cells and what each cell adds to it, for documents that grow
/// cell by cell.
std::string to_json(const Recording& origin, std::span<const std::string> cells);
std::string to_json(const CellRecord& cell);
/// Throws Error(invalid_argument) that names `origin`, the field, its value and the rule.
Recording parse_recording(std::string_view json, const std::string& origin);
/// Reads a file; Error(io) if it cannot be read.
Recording load_recording(const std::string& path);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_RECORD_H_
