// On a made-up device (tests/simulated_device.h).

#include "tools/tune_run.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "ropejit/error.h"
#include "src/source.h"
#include "src/token_bucket.h"
#include "tests/refusal.h"
#include "tests/simulated_device.h"
#include "tools/token_list.h"
#include "tools/tune_compare.h"

namespace ropejit {
namespace {

const std::atomic<bool> kGoOn{false};

Recording nothing() {
  Recording recording;
  recording.device_class = kSimulatedClass;
  recording.provenance = {"Made-up device",       "CUDA 13.0",   "NVRTC 13.0", "0.1.0",
                          "2026-01-31T12:00:00Z", "ropejit tune"};
  return recording;
}

std::vector<TuneCell> cells(int shapes, std::vector<std::int64_t> tokens) {
  std::vector<TuneCell> all;
  for (int shape = 0; shape < shapes; ++shape) {
    for (const std::int64_t count : tokens) all.push_back(simulated_cell(shape, count));
  }
  return all;
}

SearchOptions quick() {
  SearchOptions options;
  options.measurements = 60;
  return options;
}

Recording run(const std::vector<TuneCell>& of, Measurer& device,
              const Recording& earlier = nothing(), const SearchOptions& options = quick(),
              std::vector<TuneStep>* steps = nullptr) {
  return tune(of, device, earlier, options, kGoOn, [&](const TuneStep& step) {
    if (steps != nullptr) steps->push_back(step);
  });
}

}  // namespace

TEST_CASE(
    "the default token counts are buckets, and up to 65536 tokens none is further than one away") {
  const std::vector<std::int64_t> tokens = parse_token_list("--tokens", kDefaultTuneTokens);
  for (const std::int64_t count : tokens) CHECK(bucket_tokens(token_bucket(count)) == count);
  for (int bucket = 0; bucket <= 16; ++bucket) {
    CHECK(std::any_of(tokens.begin(), tokens.end(), [&](std::int64_t count) {
      return std::abs(token_bucket(count) - bucket) <= 1;
    }));
  }
}

TEST_CASE("cells are every spec at every token count, specs that are tuned alike once") {
  Input input{"a", simulated_cell(0, 1).spec, default_frequencies(128, 10000)};
  Input inverse = input;
  inverse.spec.direction = Direction::inverse;
  Input other = input;
  other.spec.head_dim = 64;
  const std::vector<Input> inputs = {input, inverse, other};
  const std::vector<TuneCell> all = tune_cells(inputs, {256, 1});
  REQUIRE(all.size() == 4);
  CHECK(all[0].spec == input.spec);
  CHECK(all[0].tokens == 1);
  CHECK(all[1].tokens == 256);
  CHECK(all[2].spec == other.spec);
}

TEST_CASE("a tuning reports every cell, and its recording has them in order") {
  SimulatedMeasurer device(1);
  std::vector<TuneStep> steps;
  const std::vector<TuneCell> of = cells(2, {1, 256});
  const Recording recording = run(of, device, nothing(), quick(), &steps);
  CHECK(recording.provenance == nothing().provenance);
  REQUIRE(recording.cells.size() == 4);
  REQUIRE(steps.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(recording.cells[i].spec == of[i].spec);
    CHECK(recording.cells[i].tokens == of[i].tokens);
    CHECK(recording.cells[i].timestamp.size() == nothing().provenance.date.size());
    CHECK(steps[i].done == i + 1);
    CHECK(steps[i].total == 4);
    CHECK(steps[i].choice.has_value());
    CHECK_FALSE(steps[i].resumed);
  }
}

TEST_CASE("a cell starts from what was chosen for the one before, of the same spec") {
  SimulatedMeasurer device(1);
  const Recording recording = run(cells(2, {256, 512}), device);
  const std::vector<std::optional<Choice>> choices = choices_of(recording);
  REQUIRE(choices[0].has_value());
  const LaunchConfig before = choices[0]->config;
  REQUIRE(before != default_config(recording.cells[1].spec, 512));
  CHECK(recording.cells[1].candidates[1].config == before);
  REQUIRE(choices[1].has_value());
  CHECK(recording.cells[2].candidates[1].config != choices[1]->config);
}

TEST_CASE("what is chosen cell by cell is what the recording says") {
  SimulatedMeasurer device(1);
  std::vector<TuneStep> steps;
  const Recording recording = run(cells(4, parse_token_list("--tokens", kDefaultTuneTokens)),
                                  device, nothing(), SearchOptions{}, &steps);
  const std::vector<std::optional<Choice>> choices = choices_of(recording);
  for (std::size_t i = 0; i < choices.size(); ++i) {
    CHECK(choices[i]->config == steps[i].choice->config);
  }
}

TEST_CASE("a tuning that goes on measures no complete cell again, and chooses the same") {
  SimulatedMeasurer device(1);
  const std::vector<TuneCell> of = cells(1, {1, 256, 4096});
  Recording earlier = run(of, device);
  earlier.cells.pop_back();
  earlier.cells.back().complete = false;
  const Recording before = earlier;
  CHECK(choices_of(before)[0].has_value());
  CHECK_FALSE(choices_of(before)[1].has_value());
  device.timed.clear();
  std::vector<TuneStep> steps;
  const Recording recording = run(of, device, earlier, quick(), &steps);
  REQUIRE(steps.size() == 3);
  CHECK(steps[0].resumed);
  CHECK_FALSE(steps[1].resumed);
  CHECK_FALSE(steps[2].resumed);
  CHECK(recording.cells[0] == before.cells[0]);
  CHECK(steps[0].choice->config == choices_of(before)[0]->config);
  CHECK(device.timed.size() < 150);
}

TEST_CASE("cells of an earlier tuning that nobody asks for are left out") {
  SimulatedMeasurer device(1);
  const Recording earlier = run(cells(1, {1, 4096}), device);
  const Recording recording = run(cells(1, {1}), device, earlier);
  CHECK(recording.cells.size() == 1);
}

TEST_CASE("a config that crashed is not tried for its spec any more") {
  const LaunchConfig poisoned = default_config(simulated_cell(0, 4096).spec, 4096);
  Recording earlier = nothing();
  CellRecord crashed;
  crashed.spec = simulated_cell(0, 4096).spec;
  crashed.tokens = 4096;
  crashed.complete = false;
  crashed.candidates.resize(1);
  crashed.candidates[0].config = poisoned;
  crashed.candidates[0].vetting = {Verdict::runtime, "crashed", 0, 0};
  earlier.cells.push_back(crashed);
  SimulatedMeasurer device(1);
  const Recording recording = run(cells(2, {4096, 8192}), device, earlier);
  for (const CellRecord& cell : recording.cells) {
    const bool same_spec = cell.spec == crashed.spec;
    const Candidate& first = cell.candidates.front();
    CHECK((first.vetting.verdict == Verdict::runtime) == same_spec);
    CHECK(std::count_if(cell.candidates.begin(), cell.candidates.end(),
                        [&](const Candidate& candidate) { return candidate.config == poisoned; }) <=
          1);
  }
  CHECK(std::count(device.timed.begin(), device.timed.end(), poisoned) > 0);  // of the other spec
}

TEST_CASE("a stopped tuning ends with a cell that is not complete, and tells of it") {
  SimulatedMeasurer device(1);
  std::atomic<bool> stop{false};
  device.before_round = [&](const TuneCell& cell, std::span<const LaunchConfig>) {
    if (cell.tokens == 256) stop = true;
  };
  int steps = 0;
  const Recording recording =
      tune(cells(1, {1, 256, 4096}), device, nothing(), quick(), stop, [&](const TuneStep& step) {
        ++steps;
        CHECK(step.done == static_cast<std::size_t>(steps));
        CHECK(step.choice.has_value() == (step.done == 1));
      });
  CHECK(steps == 2);
  REQUIRE(recording.cells.size() == 2);
  CHECK(recording.cells[0].complete);
  CHECK_FALSE(recording.cells[1].complete);
  CHECK(tuning_run(recording).entries.size() == 1);
}

TEST_CASE("a cell that does not fit into memory is left out, and any other error ends it all") {
  std::string message = "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY (out of memory)";
  SimulatedMeasurer device(1);
  device.before_round = [&](const TuneCell& cell, std::span<const LaunchConfig>) {
    if (cell.tokens == 256) throw Error(ErrorCode::driver, message);
  };
  std::vector<TuneStep> steps;
  const Recording recording = run(cells(1, {1, 256, 4096}), device, nothing(), quick(), &steps);
  REQUIRE(steps.size() == 3);
  CHECK(steps[1].cell == nullptr);
  CHECK(steps[1].problem == message);
  CHECK(recording.cells.size() == 2);
  CHECK(steps[2].choice.has_value());
  message = "cuMemAlloc: CUDA_ERROR_ECC_UNCORRECTABLE";
  CHECK(refusal([&] { run(cells(1, {1, 256}), device); }).starts_with("driver: cuMemAlloc"));
}

TEST_CASE("a tuned file's run has an entry per cell, as it was measured") {
  SimulatedMeasurer device(1);
  const Recording recording = run(cells(2, {1, 256}), device);
  const TuningRun tuned = tuning_run(recording);
  CHECK(tuned.device_class == kSimulatedClass);
  CHECK(tuned.aliases == std::vector<std::string>{"Made-up device"});
  CHECK(tuned.provenance == recording.provenance);
  REQUIRE(tuned.entries.size() == 4);
  const std::vector<std::optional<Choice>> choices = choices_of(recording);
  for (std::size_t i = 0; i < 4; ++i) {
    const TuningEntry& entry = tuned.entries[i];
    CHECK(entry.spec == spec_class(recording.cells[i].spec));
    CHECK(entry.tokens == recording.cells[i].tokens);
    CHECK(entry.chosen.config == choices[i]->config);
    CHECK(entry.chosen.us == doctest::Approx(choices[i]->us).epsilon(0.02));
    CHECK(entry.chosen.low <= entry.chosen.us);
    CHECK(entry.chosen.us <= entry.chosen.high);
    REQUIRE(entry.baseline.has_value());
    CHECK(entry.baseline->config == default_config(recording.cells[i].spec, entry.tokens));
    CHECK(entry.samples >= 1);
  }
  TuningFile file;
  file.runs.push_back(tuned);
  CHECK(parse_tuning_file(to_json(file), "a.json").runs.size() == 1);
}

TEST_CASE("an entry's times are those of the final rounds") {
  SimulatedMeasurer device(1);
  Recording recording = run(cells(1, {256}), device);
  const TuningEntry before = tuning_run(recording).entries.front();
  for (Candidate& candidate : recording.cells[0].candidates) {
    for (TimedRound& timed : candidate.rounds) {
      if (timed.round < recording.cells[0].final_from) timed.times = {1000, 1000};
    }
  }
  CHECK(tuning_run(recording).entries.front() == before);
}

TEST_CASE("a run replaces what a file has of the same, and nothing else") {
  SimulatedMeasurer device(1);
  const TuningRun first = tuning_run(run(cells(2, {1, 256}), device));
  TuningRun elsewhere = first;
  elsewhere.device_class.sm_count = 100;
  TuningRun second = tuning_run(run(cells(1, {256, 4096}), device));
  second.provenance.date = "2026-02-01T12:00:00Z";
  const TuningFile merged = with_run({{first, elsewhere}}, second);
  REQUIRE(merged.runs.size() == 3);
  CHECK(merged.runs[0].entries.size() == 3);
  for (const TuningEntry& entry : merged.runs[0].entries) {
    CHECK((entry.spec != second.entries[0].spec || entry.tokens != 256));
  }
  CHECK(merged.runs[1] == elsewhere);
  CHECK(merged.runs[2] == second);
  CHECK(with_run({{second}}, second).runs == std::vector<TuningRun>{second});
}

TEST_CASE("tunings of the made-up device agree in 95 of 100 buckets, whatever the noise") {
  const std::vector<TuneCell> of = cells(14, parse_token_list("--tokens", kDefaultTuneTokens));
  SimulatedNoise noise;
  noise.spread = 0.003;
  std::vector<TuningFile> files;
  for (const std::uint64_t noise_seed : {1, 2, 3}) {
    SimulatedMeasurer device(noise_seed, noise);
    files.push_back(with_run({}, tuning_run(run(of, device, nothing(), SearchOptions{}))));
  }
  std::size_t same = 0;
  std::size_t buckets = 0;
  for (const auto& [a, b] : {std::pair(0, 1), std::pair(0, 2), std::pair(1, 2)}) {
    const FileAgreement agreement =
        compare(files[static_cast<std::size_t>(a)], files[static_cast<std::size_t>(b)]);
    CHECK(agreement.buckets() == 14 * kTokenBuckets);
    same += agreement.same();
    buckets += agreement.buckets();
  }
  MESSAGE("agreement in " << same << " of " << buckets << " buckets");
  CHECK(static_cast<double>(same) >= 0.95 * static_cast<double>(buckets));
}

}  // namespace ropejit
