#ifndef ROPEJIT_TESTS_TUNING_FIXTURE_H_
#define ROPEJIT_TESTS_TUNING_FIXTURE_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "src/tuning_file.h"

// Tuned files to test with.
namespace ropejit {

inline const DeviceClass kBig{9, 0, 132, 62914560};
inline const DeviceClass kSmall{9, 0, 66, 26214400};
inline const DeviceClass kOther{8, 0, 108, 41943040};
/// That of the stub's device.
inline const DeviceClass kStubClass{9, 0, 132, (50 << 20) + 4096};

inline RopeSpec llama_spec() {
  RopeSpec spec;
  spec.head_dim = spec.rotary_dim = 128;
  spec.q_heads = 32;
  spec.kv_heads = 8;
  return spec;
}

inline MeasuredConfig measured(const LaunchConfig& config, double us = 10, double half = 0.1) {
  return {config, us, us - half, us + half};
}

inline TuningEntry entry(const RopeSpec& spec, std::int64_t tokens, const LaunchConfig& config) {
  return {spec_class(spec), tokens, measured(config, 10), measured({}, 11), 31};
}

inline TuningRun run_on(const DeviceClass& device_class, std::vector<TuningEntry> entries,
                        const std::string& date = "2026-01-31T12:00:00Z") {
  return {device_class,
          {"Device of " + describe(device_class)},
          {"Device of " + describe(device_class), "CUDA 13.0", "NVRTC 13.0", "0.1.0", date,
           "ropejit tune"},
          std::move(entries)};
}

inline TuningFile file_of(std::vector<TuningRun> runs) { return {std::move(runs)}; }

/// Two classes of devices, with entries that use every field.
inline TuningFile varied_file() {
  RopeSpec other;
  other.head_dim = 96;
  other.rotary_dim = 32;
  other.dtype = Dtype::float32;
  other.layout = Layout::interleaved;
  other.q_heads = 17;
  other.kv_heads = 1;
  other.positions = PositionMode::ragged;
  other.angles = AngleSource::table;
  other.alignment = 4;
  TuningEntry alone = entry(other, 2097152, {32, 4, Pairing::registers, 4, false});
  alone.baseline.reset();
  alone.chosen = {alone.chosen.config, 123450, 1e-3, 1.2346e7};
  TuningFile file = file_of(
      {run_on(kBig, {entry(llama_spec(), 1, {192, 8, Pairing::exchange, 1}),
                     entry(llama_spec(), 8192, {512, 16, Pairing::registers, 2, true}), alone}),
       run_on(kOther, {entry(other, 64, {})})});
  std::sort(file.runs[0].entries.begin(), file.runs[0].entries.end(),
            [](const TuningEntry& a, const TuningEntry& b) {
              return std::tie(a.spec, a.tokens) < std::tie(b.spec, b.tokens);
            });
  file.runs[0].aliases = {"NVIDIA H200", "\"quoted\" \xc3\xa9"};
  file.runs[1].aliases.clear();
  return file;
}

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_TUNING_FIXTURE_H_
