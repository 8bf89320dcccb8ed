#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "src/source.h"
#include "src/tuning_table.h"
#include "tests/gpu_fixture.h"
#include "tests/temporary_folder.h"
#include "tools/tune_compare.h"
#include "tools/tune_device.h"
#include "tools/tune_run.h"
#include "tools/verify.h"

namespace ropejit {
namespace {

/// Llama-3's shape, and one with interleaved pairs that rotates a part.
std::vector<Input> inputs() {
  Input llama;
  llama.origin = "llama";
  llama.spec.head_dim = 128;
  llama.spec.q_heads = 32;
  llama.spec.kv_heads = 8;
  llama.frequencies = default_frequencies(128, 500000.0L);
  Input gptj;
  gptj.origin = "gptj";
  gptj.spec.head_dim = 256;
  gptj.spec.rotary_dim = 64;
  gptj.spec.layout = Layout::interleaved;
  gptj.spec.q_heads = gptj.spec.kv_heads = 16;
  gptj.frequencies = default_frequencies(64, 10000);
  return {llama, gptj};
}

Recording tune_all(const std::vector<TuneCell>& cells, const SearchOptions& options) {
  std::atomic<bool> stop{false};
  DeviceMeasurer measurer(gpu().runtime, 0, 0, stop);
  Recording origin;
  origin.device_class = device_class(gpu().device().info());
  origin.provenance = {gpu().device().info().name, "", "", "", "2026-01-31T12:00:00Z", ""};
  return tune(cells, measurer, origin, options, stop, [](const TuneStep& step) {
    MESSAGE(fmt::format("{}: {} in {:.2f} s", step.name,
                        step.choice ? describe(step.choice->config) : "nothing", step.seconds));
  });
}

SearchOptions quick() {
  SearchOptions options;
  options.seconds = 1;
  return options;
}

}  // namespace

TEST_CASE("a tuning on the device chooses configs that are right, and that a Rope then takes") {
  gpu();
  const std::vector<TuneCell> cells = tune_cells(inputs(), {1, 256, 8192});
  const Recording recording = tune_all(cells, quick());
  REQUIRE(recording.cells.size() == cells.size());
  const std::vector<std::optional<Choice>> choices = choices_of(recording);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    CAPTURE(describe(cells[i].spec));
    for (const Candidate& candidate : recording.cells[i].candidates) {
      CAPTURE(describe(candidate.config));
      CHECK_MESSAGE(candidate.vetting.verdict == Verdict::correct, candidate.vetting.message);
    }
    REQUIRE(choices[i].has_value());
    CHECK(choices[i]->us > 0);
    CHECK(choices[i]->us <= choices[i]->default_us * (1 + kIndifferent));
    for (const VerifyCase& test :
         cases_for(cells[i].spec, cells[i].frequencies, choices[i]->config)) {
      const CaseResult result = run_case(test, gpu().executor);
      CHECK_MESSAGE(result.passed, result.name << ": " << result.message);
    }
  }

  const TemporaryFolder folder;
  const std::string path = (folder / "tuned.json").string();
  save_tuning_file(path, with_run({}, tuning_run(recording)));
  RuntimeOptions options = gpu().runtime.options();
  options.tuned_file = path;
  Runtime tuned(options);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const ConfigChoice choice = tuned.explain(cells[i].spec, 0, cells[i].tokens);
    CHECK(choice.match == Match::exact);
    CHECK(choice.config == choices[i]->config);
  }
}

TEST_CASE("two tunings on the device agree in most buckets") {
  gpu();
  const std::vector<TuneCell> cells = tune_cells(inputs(), {1, 16, 256, 4096});
  TuningFile files[2];
  for (TuningFile& file : files) file = with_run({}, tuning_run(tune_all(cells, quick())));
  const FileAgreement agreement = compare(files[0], files[1]);
  MESSAGE(describe(agreement));
  // 95% is what many cells show; of a few, one that differs decides over several buckets.
  CHECK(agreement.same() * 4 >= agreement.buckets() * 3);
}

TEST_CASE("a cell takes little longer than its budget") {
  gpu();
  SearchOptions options;
  options.seconds = 0.5;
  options.measurements = 1000000;
  const auto start = std::chrono::steady_clock::now();
  tune_all(tune_cells(inputs(), {1024}), options);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  MESSAGE("two cells of 0.5 s took " << elapsed.count() << " s");
  CHECK(elapsed.count() < 2 * 0.5 + 2);
}

}  // namespace ropejit
