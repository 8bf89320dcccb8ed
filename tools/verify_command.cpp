#include "tools/verify_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ropejit/runtime.h"
#include "tools/exit_code.h"
#include "tools/inputs.h"
#include "tools/runtime_options.h"
#include "tools/start_timing.h"
#include "tools/verb.h"
#include "tools/verify.h"

namespace ropejit {
namespace {

constexpr const char* kFooter =
    "Runs each kernel on random data (token counts, strides, placements, in place or not, "
    "positions\n"
    "up to 2^31 - 1 and their negatives) and holds every element against the CPU reference in\n"
    "double precision. The last line is `N passed, M failed`.\n\n"
    "Examples:\n"
    "  ropejit verify --model Llama-3-8B/config.json\n"
    "  ropejit verify --model Llama-3-8B/config.json --cpu\n"
    "  ropejit verify --spec spec.json --device 1 --timing\n\n";

struct VerifyOptions {
  InputOptions inputs;
  std::optional<std::string> cache_dir;
  int device = 0;
  bool cpu = false;
  bool timing = false;
};

/// Where the cases are carried out.
struct Bench {
  std::unique_ptr<Runtime> runtime;  ///< none on the CPU
  std::unique_ptr<Executor> executor;
  std::string name;
};

Bench bench_on_cpu() {
  try {
    return {nullptr, std::make_unique<HostExecutor>(), "the CPU"};
  } catch (const Error& error) {
    throw Failure(ExitCode::environment, fmt::format("--cpu: {}", error.what()));
  }
}

Bench bench_on_device(const VerifyOptions& options) {
  auto runtime = std::make_unique<Runtime>(runtime_options(options.cache_dir));
  try {
    auto executor = std::make_unique<DeviceExecutor>(*runtime, options.device);
    const DeviceInfo& info = executor->device().info();
    std::string name = fmt::format("device {} ({}, {})", info.ordinal, info.name, info.arch());
    return {std::move(runtime), std::move(executor), std::move(name)};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::driver) throw;
    throw Failure(ExitCode::environment,
                  fmt::format("{}\n`--cpu` verifies without a GPU", error.what()));
  }
}

void print_timing(const Input& input, const VerifyOptions& options) {
  const StartTiming timing = measure_start(input.spec, input.frequencies, options.device,
                                           runtime_options(options.cache_dir));
  fmt::print("cold start {:>8.2f} ms  (empty cache: NVRTC opened, {} kernels compiled)\n",
             timing.cold_ms, timing.cold.compiles);
  fmt::print("warm start {:>8.2f} ms  (from disk, NVRTC not opened; median of {})\n\n",
             timing.warm_ms, timing.warm_runs);
}

/// Whether this is about the kernel at hand; else nothing else would work either.
bool is_about_kernel(const Error& error, const Bench& bench) {
  return error.code() == ErrorCode::compile_failed &&
         (bench.runtime == nullptr || bench.runtime->stats().nvrtc_opened);
}

/// As run_case(); a kernel that does not compile is a failed case as well.
CaseResult run(const VerifyCase& test, const Bench& bench) {
  try {
    return run_case(test, *bench.executor);
  } catch (const Error& error) {
    if (!is_about_kernel(error, bench)) throw;
    CaseResult result;
    result.name = describe(test);
    result.message = error.what();
    return result;
  }
}

void print_result(const CaseResult& result, std::size_t width) {
  if (result.passed) {
    fmt::print("  ok    {:<{}}  error {:.1e}, {:>3.0f}% of the bound\n", result.name, width,
               result.worst_error, 100 * result.worst_fraction);
    return;
  }
  const std::string_view message = result.message;
  const std::size_t end = std::min(message.find('\n'), message.size());
  fmt::print("  FAIL  {:<{}}  {}\n", result.name, width, message.substr(0, end));
  if (end < message.size()) print_note(message);
}

struct Count {
  int passed = 0;
  int failed = 0;
};

void verify_input(const Input& input, const Bench& bench, Count& count) {
  fmt::print("{}  ({})\n", describe(input.spec), input.origin);
  const std::vector<VerifyCase> cases = cases_for(input.spec, input.frequencies, *bench.executor);
  std::size_t width = 0;
  for (const VerifyCase& test : cases) width = std::max(width, describe(test).size());
  for (const VerifyCase& test : cases) {
    const CaseResult result = run(test, bench);
    ++(result.passed ? count.passed : count.failed);
    print_result(result, width);
  }
}

ExitCode verify_inputs(const VerifyOptions& options) {
  const std::vector<Input> inputs = load_inputs(options.inputs);
  const Bench bench = options.cpu ? bench_on_cpu() : bench_on_device(options);
  if (options.timing) print_timing(inputs.front(), options);
  Count count;
  for (const Input& input : inputs) verify_input(input, bench, count);
  fmt::print("\nexecuted on {}\n{} passed, {} failed\n", bench.name, count.passed, count.failed);
  return count.failed == 0 ? ExitCode::ok : ExitCode::failed;
}

}  // namespace

void add_verify_command(Verb tool) {
  const auto options = std::make_shared<VerifyOptions>();
  Verb verb = tool.add_verb("verify", "Run kernels and compare with the CPU reference");
  add_input_options(verb, options->inputs);
  verb.add_option("-d,--device", options->device, "N", "GPU to run on; default: 0");
  verb.add_flag("--cpu", options->cpu,
                "Run the generated templates on the host, with its C++ compiler");
  verb.add_flag("--timing", options->timing,
                "Print a cold and a warm start of the first spec's kernels");
  verb.exclude("--cpu", {"--device", "--timing"});
  add_cache_dir_option(verb, options->cache_dir);
  verb.footer(kFooter);
  verb.on_named([options] { return verify_inputs(*options); });
}

}  // namespace ropejit
