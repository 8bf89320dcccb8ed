#include "tools/tune_export.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace ropejit {
namespace {

using nlohmann::json;

/// A field that a format asks for, or describes: JSON types that it may have, separated by `|`.
struct Field {
  std::string name;
  std::string types;
  bool required = true;
};

// The fields of T4 results, version 1.0.0: github.com/KernelTuner/kernel_tuner,
// kernel_tuner/schema/T4/1.0.0/results-schema.json, from github.com/odgaard/TuningSchema.
const std::vector<Field> kT4 = {{"schema_version", "string", false}, {"results", "array", false}};
const std::vector<Field> kT4Result = {{"timestamp", "string", false},  {"configuration", "object"},
                                      {"objectives", "array", false},  {"times", "object"},
                                      {"invalidity", "string"},        {"correctness", "number"},
                                      {"measurements", "array", false}};
const std::vector<Field> kT4Times = {{"compilation_time", "number", false},
                                     {"runtimes", "array", false},
                                     {"framework", "number", false},
                                     {"search_algorithm", "number", false},
                                     {"validation", "number", false}};
const std::vector<Field> kT4Measurement = {
    {"name", "string", false}, {"value", "number|string|array", false}, {"unit", "string", false}};
const std::set<std::string> kT4Invalidity = {"timeout",     "compile",     "runtime",
                                             "correctness", "constraints", "correct"};

// The fields of Kernel Tuner's cache files, version 1.1.0: the same repository,
// kernel_tuner/schema/cache/1.1.0/schema.json.
const std::vector<Field> kCache = {{"schema_version", "string"},  {"device_name", "string"},
                                   {"kernel_name", "string"},     {"problem_size", "array"},
                                   {"tune_params_keys", "array"}, {"tune_params", "object"},
                                   {"objective", "string"},       {"cache", "object"}};
const std::vector<Field> kCacheEntry = {
    {"time", "number|string"},       {"times", "array", false},    {"compile_time", "number"},
    {"verification_time", "number"}, {"benchmark_time", "number"}, {"strategy_time", "number"},
    {"framework_time", "number"},    {"timestamp", "string"}};
const std::set<std::string> kCacheFailures = {"InvalidConfig", "CompilationFailedConfig",
                                              "RuntimeFailedConfig"};

std::string type_of(const json& value) { return value.is_number() ? "number" : value.type_name(); }

/// What is wrong with an object; empty: nothing.
std::string problem_of(const json& object, const std::vector<Field>& fields) {
  if (!object.is_object()) return "no object";
  for (const Field& field : fields) {
    if (!object.contains(field.name)) {
      if (field.required) return field.name + " is missing";
      continue;
    }
    const std::string type = type_of(object[field.name]);
    const std::regex types("(.*\\|)?" + type + "(\\|.*)?");
    if (!std::regex_match(field.types, types)) {
      return field.name + " is of type " + type;
    }
  }
  return {};
}

Candidate candidate(const LaunchConfig& config, Verdict verdict, int rounds) {
  Candidate made;
  made.config = config;
  made.vetting = {verdict, verdict == Verdict::correct ? "" : "why", 8.5, 1.5};
  made.measure_ms = 2.5;
  for (int round = 0; round < rounds; ++round) made.rounds.push_back({round, {2000, 8000}});
  return made;
}

Recording sample() {
  Recording recording;
  recording.device_class = {9, 0, 132, 62914560};
  recording.provenance.device = "NVIDIA H200";
  CellRecord cell;
  cell.spec.head_dim = 128;
  cell.spec.q_heads = 32;
  cell.spec.kv_heads = 8;
  cell.tokens = 256;
  cell.timestamp = "2026-01-31T12:00:00Z";
  cell.candidates = {candidate({128, 8, Pairing::registers, 1}, Verdict::correct, 3),
                     candidate({256, 8, Pairing::registers, 1, true}, Verdict::correct, 0),
                     candidate({128, 16, Pairing::exchange, 2}, Verdict::compile, 0),
                     candidate({128, 8, Pairing::exchange, 2}, Verdict::correctness, 0),
                     candidate({128, 4, Pairing::exchange, 2}, Verdict::runtime, 0)};
  recording.cells = {cell};
  return recording;
}

}  // namespace

TEST_CASE("the check finds what is missing and what has another type") {
  CHECK(problem_of(json::parse(R"({"a": 1, "b": "x"})"), {{"a", "number"}, {"b", "string"}}) == "");
  CHECK(problem_of(json::parse(R"({"a": 1})"), {{"b", "number"}}) == "b is missing");
  CHECK(problem_of(json::parse(R"({"a": 1})"), {{"a", "string|array"}}) == "a is of type number");
  CHECK(problem_of(json::parse(R"({"a": 1})"), {{"b", "number", false}}).empty());
}

TEST_CASE("T4 results have every field that the format asks for") {
  const json document = json::parse(to_t4(sample()));
  CHECK(problem_of(document, kT4).empty());
  CHECK(std::regex_match(document["schema_version"].get<std::string>(),
                         std::regex("[0-9]+\\.[0-9]+\\.[0-9]+")));
  REQUIRE(document["results"].size() == 4);  // one was neither timed nor rejected
  for (const json& result : document["results"]) {
    CHECK(problem_of(result, kT4Result) == "");
    CHECK(problem_of(result["times"], kT4Times) == "");
    CHECK(kT4Invalidity.contains(result["invalidity"].get<std::string>()));
    for (const json& measurement : result["measurements"]) {
      CHECK(problem_of(measurement, kT4Measurement) == "");
    }
  }
}

TEST_CASE("T4 results say what was measured, in milliseconds") {
  const json results = json::parse(to_t4(sample()))["results"];
  CHECK(results[0]["configuration"] ==
        json::parse(R"({"block_threads": 128, "access_bytes": 8, "pairing": "registers",
                        "heads_per_thread": 1, "streaming_stores": 0, "tokens": 256,
                        "spec": "d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16"})"));
  CHECK(results[0]["invalidity"] == "correct");
  CHECK(results[0]["correctness"] == 1);
  CHECK(results[0]["times"]["compilation_time"] == 8.5);
  CHECK(results[0]["times"]["validation"] == 1.5);
  CHECK(results[0]["times"]["runtimes"] == json::parse("[4.0, 4.0, 4.0]"));
  CHECK(results[0]["objectives"] == json::parse(R"(["time"])"));
  CHECK(results[0]["measurements"][0] ==
        json::parse(R"({"name": "time", "value": 4.0, "unit": "ms"})"));
  CHECK(results[0]["measurements"][1]["value"] == json::parse("[2.0, 2.0, 2.0]"));
  CHECK(results[0]["measurements"][2]["value"] == json::parse("[8.0, 8.0, 8.0]"));
  CHECK(results[1]["invalidity"] == "compile");
  CHECK(results[2]["invalidity"] == "correctness");
  CHECK(results[3]["invalidity"] == "runtime");
  for (std::size_t i = 1; i < 4; ++i) {
    CHECK(results[i]["correctness"] == 0);
    CHECK(results[i]["measurements"].empty());
  }
}

TEST_CASE("a cache file has every field that the format asks for") {
  const std::vector<ExportedFile> files = to_cache_files(sample(), "out/cache.json");
  REQUIRE(files.size() == 1);
  CHECK(files[0].path == "out/cache.json");
  const json document = json::parse(files[0].text);
  CHECK(problem_of(document, kCache) == "");
  CHECK(document["schema_version"] == "1.1.0");
  for (const json& size : document["problem_size"]) CHECK(size.is_number_integer());
  for (const json& key : document["tune_params_keys"]) {
    REQUIRE(key.is_string());
    CHECK(document["tune_params"][key.get<std::string>()].is_array());
  }
  CHECK(document["tune_params"].size() == document["tune_params_keys"].size());
  REQUIRE(document["cache"].size() == 4);
  for (const auto& [key, entry] : document["cache"].items()) {
    CAPTURE(key);
    CHECK(problem_of(entry, kCacheEntry) == "");
    if (entry["time"].is_string()) CHECK(kCacheFailures.contains(entry["time"].get<std::string>()));
    CHECK(std::regex_match(entry["timestamp"].get<std::string>(),
                           std::regex("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ")));
  }
}

TEST_CASE("a cache file's entries are keyed by their parameters, in the order of the keys") {
  const json document = json::parse(to_cache_files(sample(), "cache.json")[0].text);
  CHECK(document["device_name"] == "NVIDIA H200");
  CHECK(document["kernel_name"] ==
        "ropejit_rope d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16");
  CHECK(document["problem_size"] == json::parse("[256, 40, 128]"));
  CHECK(document["tune_params"]["access_bytes"] == json::parse("[4, 8, 16]"));
  CHECK(document["tune_params"]["pairing"] == json::parse(R"(["exchange", "registers"])"));
  CHECK(document["tune_params"]["streaming_stores"] == json::parse("[0]"));
  for (const auto& [key, entry] : document["cache"].items()) {
    std::string expected;
    for (const json& parameter : document["tune_params_keys"]) {
      const json& value = entry[parameter.get<std::string>()];
      if (!expected.empty()) expected += ',';
      expected += value.is_string() ? value.get<std::string>() : value.dump();
    }
    CHECK(key == expected);
  }
  CHECK(document["cache"]["128,8,registers,1,0"]["time"] == 4.0);
  CHECK(document["cache"]["128,8,registers,1,0"]["benchmark_time"] == 2.5);
  CHECK(document["cache"]["128,16,exchange,2,0"]["time"] == "CompilationFailedConfig");
  CHECK(document["cache"]["128,8,exchange,2,0"]["time"] == "RuntimeFailedConfig");
}

TEST_CASE("of several cells each has a cache file of its own") {
  Recording recording = sample();
  recording.cells.push_back(recording.cells[0]);
  recording.cells[1].tokens = 1;
  const std::vector<ExportedFile> files = to_cache_files(recording, "out/cache.json");
  REQUIRE(files.size() == 2);
  CHECK(files[0].path ==
        "out/cache-d128_r128_bfloat16_sequential_q32_kv8_offset_exact_forward_a16-256.json");
  CHECK(files[1].path ==
        "out/cache-d128_r128_bfloat16_sequential_q32_kv8_offset_exact_forward_a16-1.json");
  CHECK(json::parse(files[1].text)["problem_size"][0] == 1);
  CHECK(json::parse(to_t4(recording))["results"].size() == 8);
}

TEST_CASE("nothing recorded exports to nothing") {
  CHECK(json::parse(to_t4({}))["results"] == json::array());
  CHECK(to_cache_files({}, "cache.json").empty());
}

}  // namespace ropejit
