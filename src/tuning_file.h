#ifndef ROPEJIT_SRC_TUNING_FILE_H_
#define ROPEJIT_SRC_TUNING_FILE_H_

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ropejit/spec.h"
#include "ropejit/tuning.h"

namespace ropejit {

/// The fields of a RopeSpec that decide how fast its kernels are, in canonical form: rotary_dim is
/// filled in, and alignment is the one that the wide kernel assumes (see kernel_specs()).
struct SpecClass {
  int head_dim = 0;
  int rotary_dim = 0;
  Dtype dtype = Dtype::bfloat16;
  Layout layout = Layout::sequential;
  int q_heads = 0;
  int kv_heads = 0;
  PositionMode positions = PositionMode::offset;
  AngleSource angles = AngleSource::exact;
  int alignment = 16;

  auto operator<=>(const SpecClass&) const = default;
};
SpecClass spec_class(const RopeSpec& spec);
/// A spec of the class.
RopeSpec spec_of(const SpecClass& spec_class);
/// Such as `d128 r128 bfloat16 sequential q32 kv8 offset exact a16`.
std::string describe(const SpecClass& spec_class);

/// The config that was found for a spec class and a token count. In place and out of place are
/// measured both and combined.
struct TuningEntry {
  SpecClass spec;
  std::int64_t tokens = 1;  ///< bucket_tokens() of a bucket
  MeasuredConfig chosen;
  std::optional<MeasuredConfig> baseline;  ///< the default config; absent: it was not measured
  int samples = 0;                         ///< behind each of the times, at least 1

  bool operator==(const TuningEntry&) const = default;
};

/// Where entries come from, for people. All of it is free text but the date.
struct TuningProvenance {
  std::string device;    ///< its name, such as `NVIDIA H200`
  std::string driver;    ///< such as `CUDA 13.0`
  std::string compiler;  ///< Compiler::version(), such as `NVRTC 13.0`
  std::string ropejit;   ///< version, such as `0.1.0`
  std::string date;      ///< UTC, as `2026-01-31T12:00:00Z`
  std::string command;   ///< the command line of the tool

  bool operator==(const TuningProvenance&) const = default;
};

/// What one run of the tuner found on one class of devices.
struct TuningRun {
  DeviceClass device_class;
  std::vector<std::string> aliases;  ///< names of devices of the class
  TuningProvenance provenance;
  std::vector<TuningEntry> entries;  ///< no two with the same spec class and tokens

  bool operator==(const TuningRun&) const = default;
};

/// A tuned file; docs/tuning.md describes it, and tuned/schema.json is its JSON Schema. No two of
/// its entries have the same device class, spec class and tokens.
struct TuningFile {
  std::vector<TuningRun> runs;

  bool operator==(const TuningFile&) const = default;
};

inline constexpr int kTuningSchema = 1;

/// Throws Error(invalid_argument) that names `origin`, the place, the value and the rule. Configs
/// are read as they stand, valid or not: whoever takes one holds it against validate().
TuningFile parse_tuning_file(std::string_view json, const std::string& origin);
/// Reads a file; Error(io) if it cannot be read.
TuningFile load_tuning_file(const std::string& path);

/// The file's text: entries by spec class and token count, one per line, times to five digits.
std::string to_json(const TuningFile& file);
/// Writes the text beside `path`, reads it back and renames it, so that readers see the old file or
/// the new one. Throws Error(invalid_argument) for what parse_tuning_file or validate(LaunchConfig)
/// would refuse, before anything is written, and Error(io).
void save_tuning_file(const std::string& path, const TuningFile& file);

/// All that is in either file. Of two entries with the same device class, spec class and tokens the
/// better measured one stays: the one with the narrower interval (in proportion to the time), then
/// with more samples, then the newer, then a's. Runs that have no entry left are dropped; their
/// aliases go to another run of the class.
TuningFile merge(const TuningFile& a, const TuningFile& b);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_TUNING_FILE_H_
