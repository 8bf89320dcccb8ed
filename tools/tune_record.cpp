#include "tools/tune_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "ropejit/error.h"
#include "ropejit/model.h"
#include "src/json_fields.h"
#include "src/spec_json.h"
#include "src/text.h"

namespace ropejit {
namespace {

using nlohmann::ordered_json;

constexpr const char* kFormat = "ropejit tuning recording";
constexpr int kFormatVersion = 1;

/// To five digits, which the JSON writer does not lengthen.
double rounded(double value) { return std::strtod(fmt::format("{:.5g}", value).c_str(), nullptr); }

/// In one line, whatever bytes a message has.
std::string printed(const ordered_json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true, ordered_json::error_handler_t::replace);
}

ordered_json json_of(const TuningProvenance& from) {
  return {{"device", from.device},   {"driver", from.driver}, {"compiler", from.compiler},
          {"ropejit", from.ropejit}, {"date", from.date},     {"command", from.command}};
}

ordered_json json_of(const LaunchConfig& config) {
  return {{"block_threads", config.block_threads},
          {"access_bytes", config.access_bytes},
          {"pairing", name(config.pairing)},
          {"heads_per_thread", config.heads_per_thread},
          {"streaming_stores", config.streaming_stores}};
}

ordered_json json_of(const Candidate& candidate) {
  ordered_json object = json_of(candidate.config);
  object["verdict"] = name(candidate.vetting.verdict);
  if (!candidate.vetting.message.empty()) object["message"] = candidate.vetting.message;
  object["compile_ms"] = rounded(candidate.vetting.compile_ms);
  object["verify_ms"] = rounded(candidate.vetting.verify_ms);
  object["measure_ms"] = rounded(candidate.measure_ms);
  ordered_json rounds = ordered_json::array();
  ordered_json out_of_place = ordered_json::array();
  ordered_json in_place = ordered_json::array();
  for (const TimedRound& timed : candidate.rounds) {
    rounds.push_back(timed.round);
    out_of_place.push_back(rounded(timed.times.out_of_place_us));
    in_place.push_back(rounded(timed.times.in_place_us));
  }
  object["rounds"] = std::move(rounds);
  object["out_of_place_us"] = std::move(out_of_place);
  object["in_place_us"] = std::move(in_place);
  return object;
}

JsonValue required(const JsonValue& object, std::string_view key) {
  return require(object, key, "a recording");
}

double positive(const JsonValue& value) {
  if (const double number = value.to_double(); number > 0) return number;
  value.fail("must be above 0");
}

TuningProvenance read_provenance(const JsonValue& object) {
  const auto text = [&](std::string_view key) { return required(object, key).to_text(); };
  return {text("device"),  text("driver"), text("compiler"),
          text("ropejit"), text("date"),   text("command")};
}

LaunchConfig read_config(const JsonValue& object) {
  LaunchConfig config;
  config.block_threads = required(object, "block_threads").to_int();
  config.access_bytes = required(object, "access_bytes").to_int();
  config.pairing = to_enum(required(object, "pairing"), parse_pairing);
  config.heads_per_thread = required(object, "heads_per_thread").to_int();
  config.streaming_stores = required(object, "streaming_stores").to_bool();
  try {
    validate(config);
  } catch (const Error& error) {
    throw Error(error.code(), prefix(object) + error.what());
  }
  return config;
}

std::vector<TimedRound> read_rounds(const JsonValue& object) {
  const std::vector<JsonValue> rounds = required(object, "rounds").items();
  const std::vector<JsonValue> out_of_place = required(object, "out_of_place_us").items();
  const std::vector<JsonValue> in_place = required(object, "in_place_us").items();
  if (out_of_place.size() != rounds.size() || in_place.size() != rounds.size()) {
    object.fail("rounds, out_of_place_us and in_place_us must have as many values each");
  }
  std::vector<TimedRound> timed;
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    const int round = rounds[i].to_int();
    if (round < 0 || (!timed.empty() && round <= timed.back().round)) {
      rounds[i].fail("rounds must ascend from 0 or above");
    }
    timed.push_back({round, {positive(out_of_place[i]), positive(in_place[i])}});
  }
  return timed;
}

Candidate read_candidate(const JsonValue& object) {
  Candidate candidate;
  candidate.config = read_config(object);
  candidate.vetting.verdict = to_enum(required(object, "verdict"), parse_verdict);
  if (const auto message = object.find("message")) candidate.vetting.message = message->to_text();
  candidate.vetting.compile_ms = required(object, "compile_ms").to_double();
  candidate.vetting.verify_ms = required(object, "verify_ms").to_double();
  candidate.measure_ms = required(object, "measure_ms").to_double();
  candidate.rounds = read_rounds(object);
  if (candidate.vetting.verdict != Verdict::correct && !candidate.rounds.empty()) {
    object.fail("a candidate with another verdict than correct has no rounds");
  }
  return candidate;
}

CellRecord read_cell(const JsonValue& object) {
  CellRecord cell;
  cell.spec = read_spec(required(object, "spec")).spec;
  const JsonValue tokens = required(object, "tokens");
  cell.tokens = tokens.to_int();
  if (cell.tokens < 1) tokens.fail("must be at least 1");
  if (const auto incumbent = object.find("incumbent")) cell.incumbent = read_config(*incumbent);
  cell.final_from = required(object, "final_from").to_int();
  cell.complete = required(object, "complete").to_bool();
  cell.timestamp = required(object, "timestamp").to_text();
  for (const JsonValue& item : required(object, "candidates").items()) {
    Candidate candidate = read_candidate(item);
    const bool known =
        std::any_of(cell.candidates.begin(), cell.candidates.end(),
                    [&](const Candidate& other) { return other.config == candidate.config; });
    if (known) item.fail("this config stands twice in one cell");
    cell.candidates.push_back(std::move(candidate));
  }
  return cell;
}

}  // namespace

const CellRecord* Recording::find(const RopeSpec& spec, std::int64_t tokens) const {
  const SpecClass wanted = spec_class(spec);
  const auto found = std::find_if(cells.begin(), cells.end(), [&](const CellRecord& cell) {
    return cell.tokens == tokens && spec_class(cell.spec) == wanted;
  });
  return found == cells.end() ? nullptr : &*found;
}

std::string to_json(const CellRecord& cell) {
  const std::string incumbent =
      cell.incumbent ? fmt::format("\"incumbent\": {},\n   ", printed(json_of(*cell.incumbent)))
                     : "";
  std::string text = fmt::format(
      "  {{\"spec\": {},\n   \"tokens\": {}, {}\"final_from\": {}, \"complete\": {}, "
      "\"timestamp\": {},\n   \"candidates\": [",
      to_json(cell.spec), cell.tokens, incumbent, cell.final_from, cell.complete,
      printed(ordered_json(cell.timestamp)));
  for (std::size_t i = 0; i < cell.candidates.size(); ++i) {
    text += fmt::format("{}\n    {}", i == 0 ? "" : ",", printed(json_of(cell.candidates[i])));
  }
  return text + "\n   ]}";
}

std::string to_json(const Recording& origin, std::span<const std::string> cells) {
  std::string text = fmt::format(
      "{{\"format\": \"{}\", \"version\": {},\n \"device_class\": \"{}\",\n "
      "\"provenance\": {},\n \"cells\": [",
      kFormat, kFormatVersion, describe(origin.device_class), printed(json_of(origin.provenance)));
  std::string_view comma;
  for (const std::string& cell : cells) {
    text.append(comma).append("\n").append(cell);
    comma = ",";
  }
  return text + "\n ]}\n";
}

std::string to_json(const Recording& recording) {
  std::vector<std::string> cells;
  for (const CellRecord& cell : recording.cells) cells.push_back(to_json(cell));
  return to_json(recording, cells);
}

Recording parse_recording(std::string_view json, const std::string& origin) {
  const JsonValue document = JsonValue::parse(json, origin);
  const JsonValue format = required(document, "format");
  if (format.to_text() != kFormat) format.fail(fmt::format("must be \"{}\"", kFormat));
  const JsonValue version = required(document, "version");
  if (version.to_int() != kFormatVersion) version.fail(fmt::format("must be {}", kFormatVersion));
  Recording recording;
  recording.device_class = to_enum(required(document, "device_class"), parse_device_class);
  recording.provenance = read_provenance(required(document, "provenance"));
  for (const JsonValue& item : required(document, "cells").items()) {
    CellRecord cell = read_cell(item);
    if (recording.find(cell.spec, cell.tokens) != nullptr) {
      item.fail("this spec and token count stand twice in one recording");
    }
    recording.cells.push_back(std::move(cell));
  }
  return recording;
}

Recording load_recording(const std::string& path) { return parse_recording(read_text(path), path); }

}  // namespace ropejit
