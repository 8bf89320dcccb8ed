#include "tools/bench_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ropejit/error.h"
#include "src/compiler.h"
#include "tools/benchmark.h"
#include "tools/benchmark_json.h"
#include "tools/benchmark_suite.h"
#include "tools/benchmark_summary.h"
#include "tools/benchmark_table.h"
#include "tools/exit_code.h"
#include "tools/inputs.h"
#include "tools/runtime_options.h"
#include "tools/token_list.h"
#include "tools/verb.h"

namespace ropejit {
namespace {

constexpr const char* kFooter =
    "A cell is one spec, token count and place. Its line has the GPU time of a call in a CUDA\n"
    "graph (a median, and half of its 95% interval in percent), the bytes of q and k per second,\n"
    "the speed relative to the fastest copy of as many bytes and to the same kernel without the\n"
    "rotation, and, up to 256 tokens, the time of a call in a chain of dependent launches.\n"
    "docs/performance.md says how all of it is measured, and what the JSON holds.\n\n"
    "Examples:\n"
    "  ropejit bench --model Llama-3-8B/config.json --variants positions=token_ids\n"
    "  ropejit bench --spec spec.json --tokens 1,4096 --in-place --json bench.json\n"
    "  ropejit bench --suite --json suite.json\n\n";

constexpr const char* kDefaultTokens = "1,8,32,128,512,2048,8192,32768";
constexpr double kDefaultBudget = 100;
constexpr double kSuiteBudget = 50;
constexpr double kMostBudget = 60000;
constexpr double kWarmUpMilliseconds = 300;

struct BenchOptions {
  InputOptions inputs;
  std::string tokens = kDefaultTokens;
  bool in_place = false;
  bool suite = false;
  std::string json;  ///< empty: none
  int device = 0;
  std::optional<double> budget;
};

/// What is to be measured, and how long each.
struct Plan {
  std::vector<BenchmarkGroup> groups;
  Workload first;  ///< of which the start and, in the suite, the host's time is measured
  bool host_of_every_group = false;
  MeasureOptions measure;
};

MeasureOptions measure_options(const BenchOptions& options) {
  MeasureOptions measure;
  measure.budget_ms = options.budget.value_or(options.suite ? kSuiteBudget : kDefaultBudget);
  if (measure.budget_ms >= 1 && measure.budget_ms <= kMostBudget) return measure;
  throw Failure(ExitCode::usage, fmt::format("--budget = {}: must be from 1 to {} milliseconds",
                                             measure.budget_ms, kMostBudget));
}

BenchmarkGroup group_of(const Input& input, const std::vector<std::int64_t>& tokens,
                        bool in_place) {
  BenchmarkGroup group{fmt::format("{}  ({})", describe(input.spec), input.origin), {}, {}};
  for (const std::int64_t count : tokens) {
    group.workloads.push_back({input.spec, input.frequencies, count, false, Strides::bshd});
    if (in_place) {
      group.workloads.push_back({input.spec, input.frequencies, count, true, Strides::bshd});
    }
  }
  return group;
}

Plan plan_of(const BenchOptions& options) {
  Plan plan;
  plan.measure = measure_options(options);
  if (options.suite) {
    plan.groups = benchmark_suite();
    plan.first = plan.groups.back().workloads.back();  // the decode of a bfloat16, sequential spec
    return plan;
  }
  const std::vector<std::int64_t> tokens = parse_token_list("--tokens", options.tokens);
  for (const Input& input : one_per_spec(load_inputs(options.inputs))) {
    plan.groups.push_back(group_of(input, tokens, options.in_place));
  }
  plan.first = plan.groups.front().workloads.front();
  plan.host_of_every_group = true;
  return plan;
}

/// All that there is room for on the device.
std::vector<Workload> possible_workloads(const Plan& plan, const Benchmark& benchmark) {
  std::vector<Workload> possible = {plan.first};
  for (const BenchmarkGroup& group : plan.groups) {
    std::copy_if(group.workloads.begin(), group.workloads.end(), std::back_inserter(possible),
                 [&](const Workload& workload) { return benchmark.obstacle(workload).empty(); });
  }
  return possible;
}

/// Calls `work`. A kernel that does not compile is a failed kernel, unless it is NVRTC that lacks.
template <class Work>
auto compile_with(const RuntimeOptions& options, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::compile_failed) throw;
    const Compiler nvrtc(options.nvrtc_library);  // throws where there is none
    throw Failure(ExitCode::failed, error.what());
  }
}

/// A run of the verb: measures, prints and writes as it goes.
class Run {
 public:
  Run(const BenchOptions& options, const Plan& plan) : options_(options), plan_(plan) {}
  ExitCode run();

 private:
  void measure_start_of_first();
  void measure_group(Benchmark& benchmark, const BenchmarkGroup& group);
  void measure_host_of(Benchmark& benchmark, const Workload& workload);
  void save() const {
    if (!options_.json.empty()) write_json(report_, options_.json);
  }
  void print_summary() const;

  const BenchOptions& options_;
  const Plan& plan_;
  const RuntimeOptions runtime_options_ = runtime_options({});
  BenchmarkReport report_;
  std::size_t left_out_ = 0;
};

/// Before anything else: what is cold is so only once in a process.
void Run::measure_start_of_first() {
  const Workload& first = plan_.first;
  const StartTiming timing = compile_with(runtime_options_, [&] {
    return measure_start(first.spec, first.frequencies, options_.device, runtime_options_);
  });
  report_.start.push_back({first.spec, timing});
}

void Run::measure_host_of(Benchmark& benchmark, const Workload& workload) {
  const PairedTiming timing = benchmark.measure_host(workload.spec, workload.frequencies);
  report_.host.push_back({workload.spec, timing});
  fmt::print("{}\n", host_line(timing));
}

void Run::measure_group(Benchmark& benchmark, const BenchmarkGroup& group) {
  fmt::print("\n{}\n{}\n", group.name, cell_table_head());
  const RopeSpec* spec = nullptr;
  for (const Workload& workload : group.workloads) {
    if (options_.suite && (spec == nullptr || !(*spec == workload.spec))) {
      fmt::print("{}\n", describe(workload.spec));
      save();
    }
    spec = &workload.spec;
    if (const std::string obstacle = benchmark.obstacle(workload); !obstacle.empty()) {
      print_note(fmt::format("{}: left out, {}", describe(workload), obstacle));
      ++left_out_;
      continue;
    }
    BenchmarkCell cell = benchmark.measure(workload, plan_.measure);
    cell.group = options_.suite ? group.name : "";
    fmt::print("{}\n", cell_row(cell));
    report_.cells.push_back(std::move(cell));
  }
}

void Run::print_summary() const {
  std::vector<GroupSummary> summaries;
  for (const BenchmarkGroup& group : plan_.groups) {
    summaries.push_back(summarize(group, report_.cells));
  }
  fmt::print("\n{}", summary_text(summaries));
}

ExitCode Run::run() {
  report_.date = utc_now();
  measure_start_of_first();
  Benchmark benchmark(runtime_options_, options_.device);
  report_.device = benchmark.device().info();
  report_.clocks = benchmark.device().driver().clocks(report_.device.ordinal);
  report_.cuda_version = benchmark.device().driver().version();
  report_.nvrtc = benchmark.nvrtc_version();
  save();  // a file that cannot be written is said before minutes of measuring
  fmt::print("{}\n{}\n", device_line(report_), start_lines(report_.start.front().timing));

  compile_with(runtime_options_, [&] { benchmark.build(possible_workloads(plan_, benchmark)); });
  warm_up(benchmark.device(), kWarmUpMilliseconds);
  if (!plan_.host_of_every_group) measure_host_of(benchmark, plan_.first);
  for (const BenchmarkGroup& group : plan_.groups) {
    measure_group(benchmark, group);
    if (plan_.host_of_every_group) measure_host_of(benchmark, group.workloads.front());
    save();
  }
  if (options_.suite) print_summary();
  fmt::print("\n{} cells measured, {} left out\n", report_.cells.size(), left_out_);
  return report_.cells.empty() ? ExitCode::environment : ExitCode::ok;
}

ExitCode bench(const BenchOptions& options) {
  const Plan plan = plan_of(options);
  return Run(options, plan).run();
}

}  // namespace

void add_bench_command(Verb tool) {
  const auto options = std::make_shared<BenchOptions>();
  Verb verb = tool.add_verb("bench", "Measure kernels on a GPU, next to a plain copy");
  add_input_options(verb, options->inputs);
  verb.add_option("-t,--tokens", options->tokens, "LIST",
                  fmt::format("Token counts of the calls; default:\n{}", kDefaultTokens));
  verb.add_flag("--in-place", options->in_place, "Measure the calls in place as well");
  verb.add_flag("--suite", options->suite,
                "Instead of models and specs: the whole comparison of docs/performance.md,\n"
                "about 800 cells in a few minutes, with a summary against its targets");
  verb.add_option("--json", options->json, "FILE", "Write the results to this file as well");
  verb.add_option("-d,--device", options->device, "N", "GPU to run on; default: 0");
  verb.add_option("--budget", options->budget, "MS",
                  fmt::format("Milliseconds for the rounds of one cell; default: {:.0f}, in the "
                              "suite {:.0f}",
                              kDefaultBudget, kSuiteBudget));
  verb.exclude("--suite", {"--model", "--spec", "--variants", "--tokens", "--in-place"});
  verb.footer(kFooter);
  verb.on_named([options] { return bench(*options); });
}

}  // namespace ropejit
