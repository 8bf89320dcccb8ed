#include "tools/tune_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "ropejit/error.h"
#include "src/compiler.h"
#include "src/replace_file.h"
#include "src/source.h"
#include "src/tuning_table.h"
#include "tools/benchmark_json.h"
#include "tools/exit_code.h"
#include "tools/measure.h"
#include "tools/runtime_options.h"
#include "tools/version.h"

namespace ropejit {
namespace {

constexpr double kWarmUpMilliseconds = 300;

/// The options that decide what comes out.
std::string command_of(const SearchOptions& search) {
  std::string command = fmt::format("ropejit tune --budget {} --measurements {} --seed {}",
                                    search.seconds, search.measurements, search.seed);
  return search.exhaustive ? command + " --exhaustive" : command;
}

TuningProvenance provenance_of(const Device& device, const std::string& compiler,
                               const SearchOptions& search) {
  const int cuda = device.driver().version();
  return {device.info().name, fmt::format("CUDA {}.{}", cuda / 1000, cuda % 1000 / 10),
          compiler,           fmt::format("{} ({})", version(), commit()),
          utc_now(),          command_of(search)};
}

/// What is in use here. The file that the tuning is to write may not be there yet.
TuningTable tables_of(RuntimeOptions options) {
  std::error_code ignored;
  if (!options.tuned_file.empty() && !std::filesystem::exists(options.tuned_file, ignored)) {
    options.tuned_file.clear();
    options.default_tuned_file.clear();
  }
  return TuningTable::load(options);
}

void require_same(const std::string& path, std::string_view field, const std::string& there,
                  const std::string& here) {
  if (there == here) return;
  throw Failure(ExitCode::usage,
                fmt::format("{}: {} = {}: must be {}, as here; tune without --resume", path, field,
                            there, here));
}

}  // namespace

Recording Checkpoint::load(const Recording& origin) const {
  std::error_code ignored;
  if (path_.empty() || !std::filesystem::exists(path_, ignored)) return origin;
  Recording earlier = load_recording(path_);
  require_same(path_, "device_class", describe(earlier.device_class),
               describe(origin.device_class));
  const TuningProvenance& there = earlier.provenance;
  const TuningProvenance& here = origin.provenance;
  require_same(path_, "device", there.device, here.device);
  require_same(path_, "driver", there.driver, here.driver);
  require_same(path_, "compiler", there.compiler, here.compiler);
  require_same(path_, "ropejit", there.ropejit, here.ropejit);
  earlier.provenance = here;
  return earlier;
}

void Checkpoint::start(const Recording& origin) {
  origin_ = {origin.device_class, origin.provenance, {}};
  cells_.clear();
  save();
}

void Checkpoint::add(const CellRecord& cell) {
  if (path_.empty()) return;
  cells_.push_back(to_json(cell));
  save();
}

void Checkpoint::save() const {
  if (!path_.empty()) replace_file(path_, to_json(origin_, cells_));
}

void Checkpoint::remove() const {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove(path_, ignored);
}

std::string Checkpoint::advice() const {
  if (path_.empty()) return "interrupted";
  return fmt::format("interrupted; what was measured is in {}, and --resume goes on there", path_);
}

TuneSession::TuneSession(const Recording& replayed, std::uint64_t seed)
    : measurer_(std::make_unique<ReplayMeasurer>(replayed, seed)),
      origin_{replayed.device_class, replayed.provenance, {}} {}

TuneSession::TuneSession(const std::optional<std::string>& cache_dir, int device, unsigned threads,
                         const SearchOptions& search, Progress& progress, Interrupt& interrupt) {
  RuntimeOptions options = runtime_options(cache_dir);
  if (!options.allow_compile) {
    throw Failure(ExitCode::usage,
                  "ROPEJIT_NO_COMPILE = 1: switches off what tuning needs; unset it");
  }
  if (!cache_dir) options.cache_dir.clear();
  in_use_ = tables_of(options);
  // Every config is given: no tuned file is asked, not even the one that is to be written.
  options.tuned_file.clear();
  options.default_tuned_file.clear();
  options.system_tuned_file.clear();
  options.log = [&progress](std::string_view line) { progress.note(line); };
  const std::string compiler = Compiler(options.nvrtc_library).version();
  runtime_ = std::make_unique<Runtime>(std::move(options));
  auto measurer = std::make_unique<DeviceMeasurer>(*runtime_, device, threads, interrupt.flag());
  device_ = measurer.get();
  measurer_ = std::move(measurer);
  origin_.device_class = device_class(device_->device().info());
  origin_.provenance = provenance_of(device_->device(), compiler, search);
  warm_up(device_->device(), kWarmUpMilliseconds);
}

std::optional<LaunchConfig> TuneSession::in_use(const TuneCell& cell) const {
  const ConfigChoice choice = in_use_->choose(cell.spec, origin_.device_class, cell.tokens);
  if (choice.match != Match::exact && choice.match != Match::near_tokens) return std::nullopt;
  return effective_config(tuned_kernel_spec(cell.spec), choice.config);
}

void TuneSession::check_device(const Checkpoint& checkpoint) const {
  if (device_ == nullptr || !device_->lost()) return;
  throw Failure(ExitCode::environment,
                fmt::format("the device was lost: {}\n{}", *device_->lost(), checkpoint.advice()));
}

std::vector<TuneCell> recorded_cells(const Recording& recording,
                                     const std::vector<std::int64_t>& tokens) {
  std::vector<TuneCell> cells;
  for (const CellRecord& cell : recording.cells) {
    const bool wanted =
        tokens.empty() || std::find(tokens.begin(), tokens.end(), cell.tokens) != tokens.end();
    if (!wanted || !cell.complete) continue;
    cells.push_back(
        {cell.spec, default_frequencies(cell.spec.rotary(), 10000), cell.tokens, cell.incumbent});
  }
  return cells;
}

}  // namespace ropejit
