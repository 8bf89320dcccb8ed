#include "tools/tune_record.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/refusal.h"
#include "tests/temporary_folder.h"
#include "tools/tune_replay.h"

namespace ropejit {
namespace {

Recording sample() {
  Recording recording;
  recording.device_class = {9, 0, 132, 62914560};
  recording.provenance = {"NVIDIA H200",          "CUDA 13.0",   "NVRTC 13.0", "0.1.0",
                          "2026-01-31T12:00:00Z", "ropejit tune"};
  CellRecord cell;
  cell.spec.head_dim = 128;
  cell.spec.q_heads = 32;
  cell.spec.kv_heads = 8;
  cell.tokens = 256;
  cell.final_from = 2;
  cell.timestamp = "2026-01-31T12:00:00Z";
  cell.candidates.resize(3);
  cell.candidates[0].config = default_config(cell.spec, 256);
  cell.candidates[0].rounds = {{0, {1.5, 1.25}}, {2, {1.75, 1.5}}};
  cell.candidates[0].measure_ms = 0.5;
  cell.candidates[1].config = {256, 16, Pairing::registers, 4};
  cell.candidates[1].vetting = {Verdict::correct, "", 8.25, 1.5};
  cell.candidates[1].rounds = {{1, {2, 3}}};
  cell.candidates[1].measure_ms = 0.25;
  cell.candidates[2].config = {64, 4, Pairing::registers, 1};
  cell.candidates[2].vetting = {Verdict::correctness, "q[0] is \"1\"", 8, 2};
  recording.cells = {cell};
  cell.tokens = 1;
  cell.incumbent = LaunchConfig{320, 8, Pairing::exchange, 2, true};
  cell.complete = false;
  recording.cells.push_back(cell);
  return recording;
}

/// The sample's text with one part replaced; what that is refused with.
std::string refused(const std::string& part, const std::string& by) {
  std::string text = to_json(sample());
  const std::size_t at = text.find(part);
  REQUIRE(at != std::string::npos);
  text.replace(at, part.size(), by);
  return refusal([&] { parse_recording(text, "a.json"); });
}

TuneCell cell_of(const CellRecord& record) { return {record.spec, {}, record.tokens}; }

}  // namespace

TEST_CASE("a recording is read back as it was written") {
  CHECK(parse_recording(to_json(sample()), "a.json") == sample());
  CHECK(parse_recording(to_json(Recording{}), "a.json") == Recording{});
  const TemporaryFolder folder;
  CHECK(load_recording(folder.write("a.json", to_json(sample()))) == sample());
}

TEST_CASE("a candidate is a line, and its times have five digits") {
  Recording recording = sample();
  recording.cells[0].candidates[0].rounds[0].times.in_place_us = 1.23456789;
  const std::string text = to_json(recording);
  CHECK(text.find("\n    {\"block_threads\":256,\"access_bytes\":16,\"pairing\":\"registers\","
                  "\"heads_per_thread\":4,\"streaming_stores\":false,\"verdict\":\"correct\","
                  "\"compile_ms\":8.25,"
                  "\"verify_ms\":1.5,\"measure_ms\":0.25,\"rounds\":[1],\"out_of_place_us\":[2.0],"
                  "\"in_place_us\":[3.0]},\n") != std::string::npos);
  CHECK(text.find("[1.2346,1.5]") != std::string::npos);
}

TEST_CASE("a message of any bytes is written as JSON") {
  Recording recording = sample();
  recording.cells[0].candidates[2].vetting.message = "line\n\xff";
  const Recording read = parse_recording(to_json(recording), "a.json");
  CHECK(read.cells[0].candidates[2].vetting.message == "line\n\xef\xbf\xbd");
}

TEST_CASE("what is wrong with a recording is named with its place, its value and the rule") {
  const auto says = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK(text.starts_with("invalid_argument: a.json: "));
    CHECK(text.find(part) != std::string::npos);
  };
  says(refused("ropejit tuning recording", "recipes"),
       "format = \"recipes\": must be \"ropejit tuning recording\"");
  says(refused("\"version\": 1", "\"version\": 2"), "version = 2: must be 1");
  says(refused("\"device\":", "\"devise\":"), "provenance: device: missing");
  says(refused("\"9.0,132,", "\"9.0;132,"), "device_class");
  says(refused("\"tokens\": 256", "\"tokens\": 0"), "cells[0].tokens = 0: must be at least 1");
  says(refused("\"tokens\": 1,", "\"tokens\": 256,"),
       "this spec and token count stand twice in one recording");
  says(refused("\"pairing\":\"registers\"", "\"pairing\":\"swap\""),
       "cells[0].candidates[0].pairing = swap: must be registers or exchange");
  says(refused("\"block_threads\":256", "\"block_threads\":250"),
       "cells[0].candidates[1]: block_threads = 250: must be a multiple of 32");
  says(refused("\"block_threads\":256,\"access_bytes\":16,\"pairing\":\"registers\",\"heads_per_"
               "thread\":4",
               "\"block_threads\":64,\"access_bytes\":4,\"pairing\":\"registers\",\"heads_per_"
               "thread\":1"),
       "this config stands twice in one cell");
  says(refused("\"correctness\"", "\"wrong\""),
       "cells[0].candidates[2].verdict = wrong: must be correct, compile, correctness or runtime");
  says(refused("\"rounds\":[1]", "\"rounds\":[1,2]"),
       "rounds, out_of_place_us and in_place_us must have as many values each");
  says(refused("\"rounds\":[0,2]", "\"rounds\":[2,0]"),
       "cells[0].candidates[0].rounds[1] = 0: rounds must ascend");
  says(refused("[2.0]", "[0.0]"), "out_of_place_us[0] = 0.0: must be above 0");
  says(refused("\"verdict\":\"correct\",\"compile_ms\":8.25",
               "\"verdict\":\"runtime\",\"compile_ms\":8.25"),
       "a candidate with another verdict than correct has no rounds");
  says(refused("\"head_dim\":128", "\"head_dim\":127"), "cells[0].spec: head_dim = 127");
}

TEST_CASE("a replay gives what was recorded, by whole rounds") {
  Recording recording = sample();
  std::vector<Candidate>& candidates = recording.cells[0].candidates;
  candidates[0].rounds.clear();
  candidates[1].rounds.clear();
  for (int round = 0; round < 8; ++round) {
    candidates[0].rounds.push_back({round, {10.0 + round, 1}});
    candidates[1].rounds.push_back({round, {20.0 + round, 1}});
  }
  const TuneCell cell = cell_of(recording.cells[0]);
  const std::vector<LaunchConfig> configs = {candidates[1].config, candidates[0].config};
  const auto rounds_of = [&](std::uint64_t seed) {
    ReplayMeasurer replay(recording, seed);
    std::vector<std::vector<CallTimes>> rounds;
    for (int i = 0; i < 40; ++i) rounds.push_back(replay.measure(cell, configs));
    return rounds;
  };
  const auto rounds = rounds_of(1);
  bool differ = false;
  for (const std::vector<CallTimes>& times : rounds) {
    REQUIRE(times.size() == 2);
    CHECK(times[0].out_of_place_us == times[1].out_of_place_us + 10);
    CHECK(times[1].out_of_place_us >= 10);
    CHECK(times[1].out_of_place_us < 18);
    differ = differ || times[1] != rounds[0][1];
  }
  CHECK(differ);
  CHECK(rounds_of(1) == rounds);
  CHECK(rounds_of(2) != rounds);
}

TEST_CASE("a replay knows the configs that were timed or rejected, and why") {
  Recording recording = sample();
  recording.cells[0].candidates.push_back({{96, 4, Pairing::registers, 1}, {}, {}, 0});
  const std::vector<Candidate>& candidates = recording.cells[0].candidates;
  const TuneCell cell = cell_of(recording.cells[0]);
  ReplayMeasurer replay(recording, 1);
  const std::vector<LaunchConfig> space = replay.space(cell);
  REQUIRE(space.size() == 3);  // the last was never timed
  const std::vector<Vetting> vettings = replay.vet(cell, space);
  CHECK(vettings[1] == candidates[1].vetting);
  CHECK(vettings[2].verdict == Verdict::correctness);
  CHECK(vettings[2].message == "q[0] is \"1\"");
}

TEST_CASE("a replay of what was not recorded is refused") {
  Recording recording = sample();
  ReplayMeasurer replay(recording, 1);
  TuneCell cell = cell_of(recording.cells[0]);
  cell.tokens = 512;
  CHECK(refusal([&] { replay.space(cell); }) ==
        "invalid_argument: d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16, 512 "
        "tokens: not in the recording");
  cell.tokens = 256;
  const std::vector<LaunchConfig> unknown = {{512, 4, Pairing::registers, 1}};
  CHECK(refusal([&] {
          replay.vet(cell, unknown);
        }).ends_with("512 threads, 4 bytes, registers, 1 head: not in the recording"));
  recording.cells[0].candidates.erase(recording.cells[0].candidates.begin());
  CHECK(refusal([&] { replay.space(cell); }).ends_with(": not in the recording"));
}

TEST_CASE("the combined time is the geometric mean, and of a recorded config the centre of it") {
  CHECK(CallTimes{2, 8}.combined_us() == 4);
  Candidate candidate;
  for (int round = 0; round < 5; ++round) candidate.rounds.push_back({round, {4, 9}});
  candidate.rounds.push_back({5, {4000, 9000}});
  CHECK(recorded_us(candidate) == 6);
}

}  // namespace ropejit
