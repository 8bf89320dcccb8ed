#include "tools/tune_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "tools/tune_replay.h"

namespace ropejit {
namespace {

using nlohmann::ordered_json;

constexpr const char* kObjective = "time";
constexpr const char* kKernelName = "ropejit_rope";

/// Whether there is something to say of it: it was timed, or it failed.
bool is_result(const Candidate& candidate) {
  return candidate.vetting.verdict != Verdict::correct || !candidate.rounds.empty();
}

ordered_json parameters_of(const LaunchConfig& config) {
  return {{"block_threads", config.block_threads},
          {"access_bytes", config.access_bytes},
          {"pairing", name(config.pairing)},
          {"heads_per_thread", config.heads_per_thread},
          {"streaming_stores", config.streaming_stores ? 1 : 0}};
}

/// Milliseconds of one of the times of every round.
template <typename Time>
ordered_json milliseconds(const Candidate& candidate, Time time) {
  ordered_json values = ordered_json::array();
  for (const TimedRound& timed : candidate.rounds) values.push_back(time(timed.times) / 1000);
  return values;
}

ordered_json combined_milliseconds(const Candidate& candidate) {
  return milliseconds(candidate, [](const CallTimes& times) { return times.combined_us(); });
}

std::string text_of(const ordered_json& document) {
  return document.dump(1, ' ', true, ordered_json::error_handler_t::replace) + "\n";
}

ordered_json measurement(const char* what, ordered_json value) {
  return {{"name", what}, {"value", std::move(value)}, {"unit", "ms"}};
}

ordered_json measurements_of(const Candidate& candidate) {
  ordered_json all = ordered_json::array();
  if (candidate.rounds.empty()) return all;
  all.push_back(measurement(kObjective, recorded_us(candidate) / 1000));
  all.push_back(measurement("times_out_of_place", milliseconds(candidate, [](const auto& times) {
                              return times.out_of_place_us;
                            })));
  all.push_back(measurement("times_in_place", milliseconds(candidate, [](const auto& times) {
                              return times.in_place_us;
                            })));
  return all;
}

ordered_json t4_result(const CellRecord& cell, const Candidate& candidate) {
  const Vetting& vetting = candidate.vetting;
  ordered_json configuration = parameters_of(candidate.config);
  configuration["spec"] = describe(cell.spec);
  configuration["tokens"] = cell.tokens;
  return {{"timestamp", cell.timestamp},
          {"configuration", std::move(configuration)},
          {"objectives", ordered_json::array({kObjective})},
          {"times",
           {{"compilation_time", vetting.compile_ms},
            {"runtimes", combined_milliseconds(candidate)},
            {"framework", 0.0},
            {"search_algorithm", 0.0},
            {"validation", vetting.verify_ms}}},
          {"invalidity", name(vetting.verdict)},
          {"correctness", vetting.verdict == Verdict::correct ? 1 : 0},
          {"measurements", measurements_of(candidate)}};
}

/// What the cache has for the time of a config that has none. A wrong result counts as a failure at
/// run time: the format knows no other.
std::string_view failure_name(Verdict verdict) {
  return verdict == Verdict::compile ? "CompilationFailedConfig" : "RuntimeFailedConfig";
}

/// A config's parameters, comma-separated.
std::string cache_key(const ordered_json& parameters) {
  std::string key;
  for (const auto& [parameter, value] : parameters.items()) {
    if (!key.empty()) key += ',';
    key += value.is_string() ? value.get<std::string>() : value.dump();
  }
  return key;
}

ordered_json cache_entry(const CellRecord& cell, const Candidate& candidate) {
  ordered_json entry = parameters_of(candidate.config);
  if (candidate.rounds.empty()) {
    entry[kObjective] = failure_name(candidate.vetting.verdict);
  } else {
    entry[kObjective] = recorded_us(candidate) / 1000;
    entry["times"] = combined_milliseconds(candidate);
  }
  entry["compile_time"] = candidate.vetting.compile_ms;
  entry["verification_time"] = candidate.vetting.verify_ms;
  entry["benchmark_time"] = candidate.measure_ms;
  entry["strategy_time"] = 0.0;
  entry["framework_time"] = 0.0;
  entry["timestamp"] = cell.timestamp;
  return entry;
}

ordered_json cache_document(const Recording& recording, const CellRecord& cell) {
  const ordered_json names = parameters_of({});
  ordered_json keys = ordered_json::array();
  ordered_json values;
  for (const auto& [parameter, unused] : names.items()) {
    keys.push_back(parameter);
    std::set<ordered_json> seen;
    for (const Candidate& candidate : cell.candidates) {
      if (is_result(candidate)) seen.insert(parameters_of(candidate.config)[parameter]);
    }
    values[parameter] = seen;
  }
  ordered_json cache = ordered_json::object();
  for (const Candidate& candidate : cell.candidates) {
    if (!is_result(candidate)) continue;
    cache[cache_key(parameters_of(candidate.config))] = cache_entry(cell, candidate);
  }
  return {
      {"schema_version", "1.1.0"},
      {"device_name", recording.provenance.device},
      {"kernel_name", fmt::format("{} {}", kKernelName, describe(cell.spec))},
      {"problem_size", {cell.tokens, cell.spec.q_heads + cell.spec.kv_heads, cell.spec.head_dim}},
      {"tune_params_keys", std::move(keys)},
      {"tune_params", std::move(values)},
      {"objective", kObjective},
      {"cache", std::move(cache)}};
}

std::string path_for(const CellRecord& cell, const std::string& path) {
  std::string kernel = describe(cell.spec);
  std::replace(kernel.begin(), kernel.end(), ' ', '_');
  const std::filesystem::path whole(path);
  const std::string file = fmt::format("{}-{}-{}{}", whole.stem().string(), kernel, cell.tokens,
                                       whole.extension().string());
  return (whole.parent_path() / file).string();
}

}  // namespace

std::string to_t4(const Recording& recording) {
  ordered_json results = ordered_json::array();
  for (const CellRecord& cell : recording.cells) {
    for (const Candidate& candidate : cell.candidates) {
      if (is_result(candidate)) results.push_back(t4_result(cell, candidate));
    }
  }
  return text_of({{"schema_version", "1.0.0"}, {"results", std::move(results)}});
}

std::vector<ExportedFile> to_cache_files(const Recording& recording, const std::string& path) {
  std::vector<ExportedFile> files;
  for (const CellRecord& cell : recording.cells) {
    files.push_back({recording.cells.size() == 1 ? path : path_for(cell, path),
                     text_of(cache_document(recording, cell))});
  }
  return files;
}

}  // namespace ropejit
