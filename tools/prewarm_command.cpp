#include "tools/prewarm_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ropejit/runtime.h"
#include "src/driver.h"
#include "tools/exit_code.h"
#include "tools/inputs.h"
#include "tools/progress.h"
#include "tools/runtime_options.h"
#include "tools/verb.h"

namespace ropejit {
namespace {

constexpr const char* kFooter =
    "Needs no GPU and no driver. The last line of stdout is `compiled N, cached M, failed K`.\n\n"
    "Examples:\n"
    "  ropejit prewarm --model Llama-3-8B/config.json --arch sm_90\n"
    "  ropejit prewarm -m a/config.json -m b/config.json --arch sm_80,sm_90 --cache-dir /cache\n"
    "  ropejit prewarm --model config.json --arch sm_90 --variants 'direction=forward,inverse'\n\n";

struct PrewarmOptions {
  InputOptions inputs;
  std::vector<std::string> archs;
  std::optional<std::string> cache_dir;
  int threads = 0;
};

void check(const PrewarmOptions& options) {
  if (options.threads < 0) {
    throw Failure(ExitCode::usage,
                  fmt::format("-j = {}: must be positive, or 0 for one per core", options.threads));
  }
}

/// The architecture of device 0, for a command line that names none.
std::string arch_here(const std::string& cuda_library) {
  std::string reason;
  try {
    const auto driver = Driver::open(cuda_library);
    if (driver->device_count() > 0) return driver->device_info(0).arch();
    reason = "the driver sees no device";
  } catch (const Error& error) {
    reason = error.what();
    reason.resize(std::min(reason.find('\n'), reason.size()));
    if (reason.ends_with("; tried:")) reason.resize(reason.size() - 8);
  }
  throw Failure(
      ExitCode::usage,
      fmt::format("--arch: there is no GPU here to take it from ({}); name one, such as sm_90",
                  reason));
}

int count_of(const std::vector<PrewarmResult>& results, PrewarmResult::Status status) {
  return static_cast<int>(
      std::count_if(results.begin(), results.end(),
                    [&](const PrewarmResult& result) { return result.status == status; }));
}

std::vector<PrewarmResult> build(const PrewarmOptions& options, RuntimeOptions runtime_options,
                                 const std::vector<RopeSpec>& specs,
                                 const std::vector<std::string>& archs) {
  Progress progress(Progress::style_here());
  runtime_options.log = [&](std::string_view line) { progress.note(line); };
  Runtime runtime(std::move(runtime_options));
  return runtime.prewarm(specs, archs, options.threads,
                         [&](std::size_t done, std::size_t total, const PrewarmResult& latest) {
                           progress.step(done, total, latest);
                         });
}

ExitCode prewarm(const PrewarmOptions& options) {
  check(options);
  const std::vector<RopeSpec> specs = specs_of(load_inputs(options.inputs));
  const RuntimeOptions runtime_options = runtime_options_with_folder(options.cache_dir);
  if (!runtime_options.allow_compile) {
    throw Failure(ExitCode::usage,
                  "ROPEJIT_NO_COMPILE = 1: switches off what pre-warming does; unset it");
  }
  const std::vector<std::string> archs =
      options.archs.empty() ? std::vector{arch_here(runtime_options.cuda_library)} : options.archs;

  const auto start = std::chrono::steady_clock::now();
  const std::vector<PrewarmResult> results = build(options, runtime_options, specs, archs);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const int failed = count_of(results, PrewarmResult::Status::failed);
  fmt::print("kernels for {} in {}: {}, in {:.2f} s\n", fmt::join(archs, ", "),
             runtime_options.cache_dir, results.size(), elapsed.count());
  fmt::print("compiled {}, cached {}, failed {}\n",
             count_of(results, PrewarmResult::Status::compiled),
             count_of(results, PrewarmResult::Status::cached), failed);
  return failed == 0 ? ExitCode::ok : ExitCode::failed;
}

}  // namespace

void add_prewarm_command(Verb tool) {
  const auto options = std::make_shared<PrewarmOptions>();
  Verb verb = tool.add_verb("prewarm", "Build the kernels that models need into the cache");
  add_input_options(verb, options->inputs);
  verb.add_option("-a,--arch", options->archs, "ARCH",
                  "GPU architectures, separated by commas; default: device 0's");
  verb.split_at_commas("--arch");
  add_cache_dir_option(verb, options->cache_dir);
  verb.add_option("-j,--jobs", options->threads, "N", "Threads; 0, the default: one per core");
  verb.footer(kFooter);
  verb.on_named([options] { return prewarm(*options); });
}

}  // namespace ropejit
