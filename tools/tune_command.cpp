#include "tools/tune_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ropejit/error.h"
#include "src/replace_file.h"
#include "src/token_bucket.h"
#include "src/tuning_file.h"
#include "tools/exit_code.h"
#include "tools/inputs.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/runtime_options.h"
#include "tools/token_list.h"
#include "tools/tune_compare.h"
#include "tools/tune_export.h"
#include "tools/tune_replay.h"
#include "tools/tune_report.h"
#include "tools/tune_run.h"
#include "tools/tune_session.h"
#include "tools/verb.h"

namespace ropejit {
namespace {

constexpr const char* kFooter =
    "Measures launch configs of each spec at each token count on a GPU, in place and out of "
    "place,\n"
    "and writes the fastest to a tuned file (docs/tuning.md). Every config is verified against "
    "the\n"
    "CPU reference before it is timed. What is in use, by a tuned file, stays if it is as fast\n"
    "within 3%; else the default, or a config that is simpler, is chosen if it is as fast within\n"
    "2%. After Ctrl-C the checkpoint beside the tuned file has all cells that were finished:\n"
    "--resume goes on there.\n"
    "The last line is `tuned N, default M, rejected K, left out L`.\n\n"
    "Examples:\n"
    "  ropejit tune --model Llama-3-8B/config.json\n"
    "  ropejit tune -m a/config.json -m b/config.json --tokens 1,64,4096 --out tuned.json\n"
    "  ropejit tune --model config.json --exhaustive --record all.json --out tuned.json\n"
    "  ropejit tune --replay all.json --measurements 100\n"
    "  ropejit tune --merge a.json b.json --out tuned.json\n"
    "  ropejit tune --compare a.json b.json\n\n";

constexpr double kDefaultSeconds = 1;
constexpr double kMostSeconds = 3600;
constexpr int kLeastMeasurements = 2;
constexpr int kMostMeasurements = 1000000;

struct TuneOptions {
  InputOptions inputs;
  std::string tokens;
  std::optional<double> seconds;
  SearchOptions search;
  std::string out;
  bool from_scratch = false;
  bool resume = false;
  std::string replay;
  std::string record;
  std::string export_t4;
  std::string export_cache;
  std::vector<std::string> merge;
  std::vector<std::string> compare;
  std::optional<std::string> cache_dir;
  int device = 0;
  int threads = 0;
};

[[noreturn]] void refuse(const std::string& message) { throw Failure(ExitCode::usage, message); }

void check(const TuneOptions& options) {
  if (options.seconds && !(*options.seconds > 0 && *options.seconds <= kMostSeconds)) {
    refuse(fmt::format("--budget = {}: must be above 0 and at most {} seconds", *options.seconds,
                       kMostSeconds));
  }
  const int measurements = options.search.measurements;
  if (measurements < kLeastMeasurements || measurements > kMostMeasurements) {
    refuse(fmt::format("--measurements = {}: must be from {} to {}", measurements,
                       kLeastMeasurements, kMostMeasurements));
  }
  if (options.threads < 0) {
    refuse(fmt::format("-j = {}: must be positive, or 0 for one per core", options.threads));
  }
}

std::vector<std::int64_t> tokens_of(const std::string& text) {
  const std::vector<std::int64_t> tokens = parse_token_list("--tokens", text);
  for (const std::int64_t count : tokens) {
    if (bucket_tokens(token_bucket(count)) == count) continue;
    refuse(
        fmt::format("--tokens = {}: {} does not stand for a bucket; must be powers of two from 1 "
                    "to {}",
                    text, count, bucket_tokens(kTokenBuckets - 1)));
  }
  return tokens;
}

/// Reads a file that the user named.
template <typename Load>
auto load_named(Load load, const std::string& path) {
  try {
    return load(path);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::io) throw;
    throw Failure(ExitCode::usage, error.what());
  }
}

/// The cells that the command line asks for; of a recording, all that it has.
std::vector<TuneCell> cells_of(const TuneOptions& options, const Recording* recording) {
  InputOptions inputs = options.inputs;
  if (recording != nullptr && inputs.models.empty() && inputs.specs.empty()) {
    return recorded_cells(*recording, options.tokens.empty() ? std::vector<std::int64_t>()
                                                             : tokens_of(options.tokens));
  }
  // Positions hardly decide which config is the fastest: one mode stands for all.
  if (!inputs.models.empty() && inputs.variants.empty()) inputs.variants = "positions=offset";
  return tune_cells(one_per_spec(load_inputs(inputs)),
                    tokens_of(options.tokens.empty() ? kDefaultTuneTokens : options.tokens));
}

/// Where the tuned file goes; empty: nowhere.
std::string out_path(const TuneOptions& options) {
  if (!options.out.empty() || !options.replay.empty()) return options.out;
  const RuntimeOptions runtime = RuntimeOptions::from_environment();
  if (!runtime.tuned_file.empty()) return runtime.tuned_file;
  if (!runtime.default_tuned_file.empty()) return runtime.default_tuned_file;
  throw Failure(ExitCode::environment,
                "there is no place for a tuned file: none of ROPEJIT_TUNED, XDG_CONFIG_HOME and "
                "HOME is set; name a file with --out");
}

TuningFile existing(const std::string& path) {
  return std::filesystem::exists(path) ? load_tuning_file(path) : TuningFile{};
}

/// Writes everything that was asked for.
void write_results(const TuneOptions& options, const std::string& out, const TuningFile& before,
                   const Recording& recording) {
  if (!options.record.empty()) replace_file(options.record, to_json(recording));
  if (!options.export_t4.empty()) replace_file(options.export_t4, to_t4(recording));
  if (!options.export_cache.empty()) {
    for (const ExportedFile& file : to_cache_files(recording, options.export_cache)) {
      replace_file(file.path, file.text);
    }
  }
  const TuningRun run = tuning_run(recording);
  if (out.empty() || run.entries.empty()) return;
  save_tuning_file(out, with_run(before, run));
  fmt::print("written to {}\n", out);
}

SearchOptions search_options(const TuneOptions& options) {
  SearchOptions search = options.search;
  // Recorded times pass in no time.
  search.seconds = options.replay.empty() ? options.seconds.value_or(kDefaultSeconds) : 0;
  return search;
}

ExitCode tune_inputs(const TuneOptions& options) {
  check(options);
  std::optional<Recording> replayed;
  if (!options.replay.empty()) replayed = load_named(load_recording, options.replay);
  std::vector<TuneCell> cells = cells_of(options, replayed ? &*replayed : nullptr);
  const std::string out = out_path(options);
  const TuningFile before = out.empty() ? TuningFile{} : existing(out);

  Interrupt interrupt;
  Progress progress(Progress::style_here());
  const SearchOptions search = search_options(options);
  TuneSession session =
      replayed ? TuneSession(*replayed, search.seed)
               : TuneSession(options.cache_dir, options.device,
                             static_cast<unsigned>(options.threads), search, progress, interrupt);
  if (!replayed && !options.from_scratch) {
    for (TuneCell& cell : cells) cell.incumbent = session.in_use(cell);
  }
  Checkpoint checkpoint(out);
  const Recording earlier = options.resume ? checkpoint.load(session.origin()) : session.origin();
  checkpoint.start(earlier);  // a folder that cannot be written is said before minutes of measuring
  TuneReport report(progress);
  const Recording recording =
      tune(cells, session.measurer(), earlier, search, interrupt.flag(), [&](const TuneStep& step) {
        report.on_step(step);
        if (step.cell != nullptr) checkpoint.add(*step.cell);
      });
  progress.clear();
  session.check_device(checkpoint);
  if (interrupt.flag()) {
    print_note(checkpoint.advice());
    interrupt.end_process();
  }
  write_results(options, out, before, recording);
  checkpoint.remove();
  fmt::print("{}\n", report.summary());
  return report.failed() || report.tuned() == 0 ? ExitCode::failed : ExitCode::ok;
}

ExitCode merge_files(const TuneOptions& options) {
  if (options.out.empty()) refuse("--merge: name the file to write with --out");
  const TuningFile merged = merge(load_named(load_tuning_file, options.merge[0]),
                                  load_named(load_tuning_file, options.merge[1]));
  save_tuning_file(options.out, merged);
  std::size_t entries = 0;
  for (const TuningRun& run : merged.runs) entries += run.entries.size();
  fmt::print("written to {}\nmerged {} entries of {} runs\n", options.out, entries,
             merged.runs.size());
  return ExitCode::ok;
}

ExitCode compare_files(const TuneOptions& options) {
  const FileAgreement agreement = compare(load_named(load_tuning_file, options.compare[0]),
                                          load_named(load_tuning_file, options.compare[1]));
  fmt::print("{}\n", describe(agreement));
  return ExitCode::ok;
}

void add_search_options(Verb verb, TuneOptions& options) {
  verb.add_option("-t,--tokens", options.tokens, "LIST",
                  fmt::format("Token counts, powers of two; default:\n{}", kDefaultTuneTokens));
  verb.add_option(
      "--budget", options.seconds, "SECONDS",
      fmt::format("Seconds for one spec at one token count; default: {}", kDefaultSeconds));
  verb.add_option("--measurements", options.search.measurements, "N",
                  fmt::format("And how many measurements, a round of a config being one;\n"
                              "default: {}",
                              SearchOptions{}.measurements));
  verb.add_flag("--exhaustive", options.search.exhaustive,
                "Measure every config, however long it takes");
  verb.add_flag("--from-scratch", options.from_scratch,
                "Do not prefer what the tuned files of this machine have");
  verb.add_option("--seed", options.search.seed, "N",
                  "Of what the search leaves to chance; default: 1");
}

void add_file_options(Verb verb, TuneOptions& options) {
  verb.add_option("-o,--out", options.out, "FILE",
                  "The tuned file; what it has of other specs stays. Default: $ROPEJIT_TUNED,\n"
                  "else $XDG_CONFIG_HOME/ropejit/tuned.json, else ~/.config/ropejit/tuned.json");
  verb.add_flag("--resume", options.resume, "Go on from the checkpoint beside the tuned file");
  verb.add_option("--record", options.record, "FILE",
                  "Write all that was measured to this file as well");
  verb.add_option("--replay", options.replay, "FILE",
                  "Take the times from a recording instead of a GPU; without --model and --spec,\n"
                  "of all that it has. No tuned file is written unless --out names one");
  verb.add_option("--export-t4", options.export_t4, "FILE",
                  "Write all that was measured as T4 autotuning results");
  verb.add_option(
      "--export-cache", options.export_cache, "FILE",
      "Write it as Kernel Tuner cache files, one per spec and token count: of several,\n"
      "the name of each comes before FILE's extension");
}

/// What the verb does instead of tuning.
void add_other_modes(Verb verb, TuneOptions& options) {
  verb.add_option("--merge", options.merge, "A B",
                  "Instead of tuning: write to --out what two tuned files have, of each entry\n"
                  "the better measured one");
  verb.add_option("--compare", options.compare, "A B",
                  "Instead of tuning: print where two tuned files choose differently");
  verb.exclude("--merge", {"--compare"});
  for (const char* mode : {"--merge", "--compare"}) {
    verb.expect(mode, 2);
    verb.exclude(mode, {"--model", "--spec", "--variants", "--tokens", "--budget", "--measurements",
                        "--exhaustive", "--from-scratch", "--seed", "--resume", "--record",
                        "--replay", "--export-t4", "--export-cache", "--device"});
  }
  verb.exclude("--compare", {"--out"});
}

}  // namespace

void add_tune_command(Verb tool) {
  const auto options = std::make_shared<TuneOptions>();
  Verb verb = tool.add_verb("tune", "Find the fastest launch configs on a GPU");
  add_input_options(verb, options->inputs);
  add_search_options(verb, *options);
  add_file_options(verb, *options);
  verb.add_option("-d,--device", options->device, "N", "GPU to measure on; default: 0");
  verb.add_option("-j,--jobs", options->threads, "N",
                  "Threads that compile and verify; 0, the default: one per core");
  verb.add_option("--cache-dir", options->cache_dir, "DIR",
                  "Keep the candidates' kernels in this folder; default: in memory only");
  add_other_modes(verb, *options);
  verb.footer(kFooter);
  verb.on_named([options] {
    if (!options->merge.empty()) return merge_files(*options);
    if (!options->compare.empty()) return compare_files(*options);
    return tune_inputs(*options);
  });
}

}  // namespace ropejit
