#include "tools/explain_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "ropejit/model.h"
#include "ropejit/runtime.h"
#include "src/driver.h"
#include "src/text.h"
#include "src/token_bucket.h"
#include "src/tuning_table.h"
#include "tools/exit_code.h"
#include "tools/inputs.h"
#include "tools/runtime_options.h"
#include "tools/token_list.h"
#include "tools/verb.h"

namespace ropejit {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFooter =
    "Matches, the best first: exact (measured for this spec and token count on such a device),\n"
    "near_tokens (another token count), near_spec (another spec), heuristic (no measurement).\n"
    "docs/tuning.md says how one is chosen. With --device-class no GPU is needed.\n\n"
    "Examples:\n"
    "  ropejit explain --model Llama-3-8B/config.json\n"
    "  ropejit explain --spec spec.json --device-class 9.0,132,62914560 --tokens 1,8192\n"
    "  ropejit explain --spec spec.json --device-class \"NVIDIA H200\" --tuned mine.json "
    "--json\n\n";

struct ExplainOptions {
  InputOptions inputs;
  int device = 0;
  std::optional<std::string> device_class;  ///< none: the device's
  std::optional<std::string> tokens;        ///< none: every bucket
  std::optional<std::string> tuned;
  bool json = false;
};

/// What is asked about.
struct Place {
  std::string name;  ///< empty: any device of the class
  DeviceClass device_class;
};

Place named_class(const TuningTable& table, const std::string& text) {
  if (const auto known = table.find_device_class(text)) return {text, *known};
  if (text.find(',') != std::string::npos) {
    return {"", parse_device_class(text, "--device-class")};
  }
  const std::vector<std::string> aliases = table.aliases();
  const std::vector<std::string_view> names(aliases.begin(), aliases.end());
  std::string known_names = ", of which no tuned file has any";
  if (!names.empty()) known_names = fmt::format("; nearest known: {}", nearest(text, names));
  throw Failure(ExitCode::usage,
                fmt::format("--device-class = {}: must be compute capability, multiprocessors and "
                            "bytes of L2 cache, such as 9.0,132,62914560, or a device's name{}",
                            text.empty() ? "\"\"" : text, known_names));
}

Place device_here(const std::string& cuda_library, int ordinal) {
  try {
    const auto driver = Driver::open(cuda_library);
    if (driver->device_count() == 0) {
      throw Error(ErrorCode::driver, "the driver sees no device");
    }
    const DeviceInfo info = driver->device_info(ordinal);
    return {fmt::format("device {}, {}", ordinal, info.name), device_class(info)};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::driver) throw;
    throw Failure(
        ExitCode::environment,
        fmt::format("{}\nwithout a GPU, name what to explain for by --device-class", error.what()));
  }
}

std::vector<std::int64_t> token_counts(const std::optional<std::string>& list) {
  if (list) return parse_token_list("--tokens", *list);
  std::vector<std::int64_t> counts;
  counts.reserve(kTokenBuckets);
  for (int bucket = 0; bucket < kTokenBuckets; ++bucket) counts.push_back(bucket_tokens(bucket));
  return counts;
}

/// A token count and what a call of it takes.
struct Row {
  std::int64_t tokens;
  ConfigChoice choice;
};

/// All that is to be said about a spec.
struct Explanation {
  Input input;
  std::vector<Row> rows;
};

/// `10.2 us (10.1 to 10.3)`.
std::string time_of(const ConfigChoice& choice) {
  if (!choice.measured) return "-";
  const MeasuredConfig& measured = *choice.measured;
  return fmt::format("{:.4g} us ({:.4g} to {:.4g})", measured.us, measured.low, measured.high);
}

/// The rows from `first` on that say the same, as far as a line of text tells.
std::size_t end_of_run(const std::vector<Row>& rows, std::size_t first) {
  const auto said = [](const Row& row) {
    const ConfigChoice& choice = row.choice;
    return std::make_tuple(describe(choice.config), choice.file, choice.measured_tokens,
                           choice.why);
  };
  std::size_t end = first + 1;
  while (end < rows.size() && said(rows[end]) == said(rows[first])) ++end;
  return end;
}

/// One line of the table: rows that follow each other and say the same.
struct Line {
  std::string tokens;
  const ConfigChoice* choice;
};

/// `8` for a row alone, else `9 to 512`; a row of a whole bucket begins above the one before it.
std::vector<Line> lines_of(const std::vector<Row>& rows, bool whole_buckets) {
  std::vector<Line> lines;
  for (std::size_t first = 0; first < rows.size();) {
    const std::size_t end = whole_buckets ? end_of_run(rows, first) : first + 1;
    const std::int64_t from =
        whole_buckets && first > 0 ? rows[first - 1].tokens + 1 : rows[first].tokens;
    const std::int64_t to = rows[end - 1].tokens;
    std::string tokens = fmt::format("{} to {}", from, to);
    if (from == to) tokens = std::to_string(to);
    if (whole_buckets && end == rows.size()) tokens = fmt::format("from {}", from);
    lines.push_back({std::move(tokens), &rows[first].choice});
    first = end;
  }
  return lines;
}

void print_rows(const std::vector<Row>& rows, bool whole_buckets) {
  const std::vector<Line> lines = lines_of(rows, whole_buckets);
  std::size_t tokens = 0, config = 0, time = 0;
  for (const Line& line : lines) {
    tokens = std::max(tokens, line.tokens.size());
    config = std::max(config, describe(line.choice->config).size());
    time = std::max(time, time_of(*line.choice).size());
  }
  for (const Line& line : lines) {
    const ConfigChoice& choice = *line.choice;
    fmt::print("  {:>{}}  {:<{}}  {:<11}  {:<{}}  {}{}{}\n", line.tokens, tokens,
               describe(choice.config), config, name(choice.match), time_of(choice), time,
               choice.file, choice.file.empty() ? "" : ": ", choice.why);
  }
}

void print_text(const Place& place, const std::vector<Explanation>& explanations,
                bool whole_buckets) {
  fmt::print("{}, of class {} (capability, multiprocessors, bytes of L2 cache)\n",
             place.name.empty() ? "a device" : place.name, describe(place.device_class));
  for (const auto& [input, rows] : explanations) {
    fmt::print("\n{}  ({})\n", describe(input.spec), input.origin);
    print_rows(rows, whole_buckets);
  }
}

Json json_of(const DeviceClass& device_class) {
  return {{"major", device_class.major},
          {"minor", device_class.minor},
          {"sm_count", device_class.sm_count},
          {"l2_bytes", device_class.l2_bytes}};
}

Json json_of(const LaunchConfig& config) {
  const auto& [threads, bytes, pairing, heads, streaming] = config;
  return {{"block_threads", threads},
          {"access_bytes", bytes},
          {"pairing", name(pairing)},
          {"heads_per_thread", heads},
          {"streaming_stores", streaming}};
}

Json json_of(const std::optional<MeasuredConfig>& measured) {
  if (!measured) return nullptr;
  return {{"config", json_of(measured->config)},
          {"us", measured->us},
          {"low", measured->low},
          {"high", measured->high}};
}

Json json_of(const Row& row) {
  const ConfigChoice& choice = row.choice;
  Json measured = nullptr;
  if (choice.measured) {
    measured = {{"tokens", choice.measured_tokens},
                {"samples", choice.samples},
                {"chosen", json_of(choice.measured)},
                {"default", json_of(choice.measured_default)}};
  }
  return {{"tokens", row.tokens},        {"config", json_of(choice.config)},
          {"match", name(choice.match)}, {"file", choice.file.empty() ? Json() : Json(choice.file)},
          {"why", choice.why},           {"measured", std::move(measured)}};
}

void print_json(const Place& place, const std::vector<Explanation>& explanations) {
  Json specs = Json::array();
  for (const auto& [input, rows] : explanations) {
    Json choices = Json::array();
    for (const Row& row : rows) choices.push_back(json_of(row));
    specs.push_back({{"spec", Json::parse(to_json(input.spec))},
                     {"origin", input.origin},
                     {"choices", std::move(choices)}});
  }
  const Json document = {{"device", place.name.empty() ? Json() : Json(place.name)},
                         {"device_class", json_of(place.device_class)},
                         {"specs", std::move(specs)}};
  fmt::print("{}\n", document.dump(2, ' ', false, Json::error_handler_t::replace));
}

/// The tuned files that a Runtime would read; one that is named has to be there.
TuningTable load_table(const RuntimeOptions& options) {
  try {
    return TuningTable::load(options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::io) throw;
    throw Failure(ExitCode::usage, error.what());
  }
}

ExitCode explain(const ExplainOptions& options) {
  const std::vector<Input> inputs = one_per_spec(load_inputs(options.inputs));
  const std::vector<std::int64_t> tokens = token_counts(options.tokens);
  RuntimeOptions runtime = runtime_options({});
  if (options.tuned) runtime.tuned_file = *options.tuned;
  if (options.tuned == "") throw Failure(ExitCode::usage, "--tuned = \"\": must name a file");
  const TuningTable table = load_table(runtime);
  const Place place = options.device_class ? named_class(table, *options.device_class)
                                           : device_here(runtime.cuda_library, options.device);
  std::vector<Explanation> explanations;
  for (const Input& input : inputs) {
    explanations.push_back({input, {}});
    for (const std::int64_t count : tokens) {
      explanations.back().rows.push_back(
          {count, table.choose(input.spec, place.device_class, count)});
    }
  }
  if (options.json) {
    print_json(place, explanations);
  } else {
    print_text(place, explanations, !options.tokens);
  }
  return ExitCode::ok;
}

}  // namespace

void add_explain_command(Verb tool) {
  const auto options = std::make_shared<ExplainOptions>();
  Verb verb = tool.add_verb(
      "explain", "Say which launch configs calls take, what they were chosen by, and why");
  add_input_options(verb, options->inputs);
  verb.add_option("-d,--device", options->device, "N", "GPU to explain for; default: 0");
  verb.add_option("--device-class", options->device_class, "CLASS",
                  "Instead of a GPU: capability, multiprocessors and bytes of L2 cache, or a name\n"
                  "that a tuned file gives");
  verb.exclude("--device-class", {"--device"});
  verb.add_option("-t,--tokens", options->tokens, "LIST",
                  "Token counts, separated by commas; default: the powers of two up to 2^21, each\n"
                  "of which stands for all counts above its half");
  verb.add_option("--tuned", options->tuned, "FILE",
                  "A tuned file that goes before all others; default: $ROPEJIT_TUNED,\n"
                  "else $XDG_CONFIG_HOME/ropejit/tuned.json, else ~/.config/ropejit/tuned.json");
  verb.add_flag("--json", options->json, "Print JSON");
  verb.footer(kFooter);
  verb.on_named([options] { return explain(*options); });
}

}  // namespace ropejit
