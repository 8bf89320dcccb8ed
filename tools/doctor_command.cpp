#include "tools/doctor_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/text.h"
#include "tools/doctor_report.h"
#include "tools/exit_code.h"
#include "tools/runtime_options.h"
#include "tools/verb.h"
#include "tools/version.h"

namespace ropejit {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFooter =
    "Exits with 0 also where something would not work, as long as nobody asked for it: 3 means\n"
    "that ROPEJIT_NVRTC, ROPEJIT_CUDA, ROPEJIT_TUNED, ROPEJIT_CACHE_DIR or --cache-dir names\n"
    "something unusable.\n\n"
    "Examples:\n"
    "  ropejit doctor\n"
    "  ropejit doctor --json\n\n";

struct DoctorOptions {
  std::optional<std::string> cache_dir;
  bool json = false;
};

void print_heading(std::string_view title) { fmt::print("\n{}\n", title); }

/// One labelled value; the further lines of a long one stand below its first.
void print_field(std::string_view label, std::string_view value) {
  constexpr int kWidth = 12;
  for (const std::string_view line : split(value, '\n')) {
    if (!line.empty()) fmt::print("  {:<{}}  {}\n", label, kWidth, line);
    label = "";
  }
}

double gib(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

std::vector<std::string> arch_names(const NvrtcReport& nvrtc) {
  std::vector<std::string> names;
  for (const int arch : nvrtc.architectures) names.push_back(fmt::format("sm_{}", arch));
  return names;
}

void print_driver(const DriverReport& driver) {
  print_heading("driver");
  if (!driver.library.empty()) {
    print_field("library", driver.library);
    print_field("CUDA", driver.version);
  }
  if (!driver.error.empty()) print_field("error", driver.error);
  for (const DeviceInfo& device : driver.devices) {
    print_field(fmt::format("device {}", device.ordinal),
                fmt::format("{}, {}, {} multiprocessors, {:.1f} GiB", device.name, device.arch(),
                            device.sm_count, gib(device.memory_bytes)));
  }
}

void print_nvrtc(const NvrtcReport& nvrtc) {
  print_heading("NVRTC");
  if (nvrtc.error.empty()) {
    print_field("library", fmt::format("{} ({})", nvrtc.library, nvrtc.origin));
    print_field("version", nvrtc.version);
    print_field("compiles for", fmt::format("{}", fmt::join(arch_names(nvrtc), " ")));
  } else {
    print_field("error", nvrtc.error);
    return;  // it lists the places
  }
  std::string_view label = "looked in";
  for (const NvrtcReport::Place& place : nvrtc.places) {
    print_field(label, fmt::format("{:<10}  {} ({})", place.outcome, place.path, place.origin));
    label = " ";
  }
}

void print_cache(const CacheReport& cache) {
  print_heading("cache");
  print_field("folder", cache.folder.empty() ? "none" : cache.folder);
  print_field("writable", cache.error.empty() ? "yes" : "no: " + cache.error);
  print_field("entries",
              fmt::format("{}, {} bytes, {} damaged", cache.entries, cache.bytes, cache.damaged));
}

void print_problems(const std::vector<Problem>& problems) {
  print_heading("what would not work");
  if (problems.empty()) fmt::print("  nothing: all of ropejit works here\n");
  for (const Problem& problem : problems) {
    fmt::print("  {}: {}{}\n", problem.what, problem.why,
               problem.asked_for ? " (this was asked for)" : "");
  }
}

void print_text(const DoctorReport& report) {
  fmt::print("ropejit {} (commit {})\n", version(), commit());
  print_driver(report.driver);
  print_nvrtc(report.nvrtc);
  print_cache(report.cache);
  print_heading("host compiler");
  const CompilerReport& compiler = report.host_compiler;
  print_field("command", compiler.error.empty() ? compiler.command : compiler.error);
  print_heading("environment");
  for (const auto& [name, value] : report.environment) fmt::print("  {}={}\n", name, value);
  print_problems(report.problems);
}

/// An empty text is null: there is no such thing.
Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json driver_json(const DriverReport& driver) {
  Json devices = Json::array();
  for (const DeviceInfo& device : driver.devices) {
    devices.push_back({{"ordinal", device.ordinal},
                       {"name", device.name},
                       {"arch", device.arch()},
                       {"multiprocessors", device.sm_count},
                       {"memory_bytes", device.memory_bytes},
                       {"l2_bytes", device.l2_bytes}});
  }
  return {{"library", text_or_null(driver.library)},
          {"cuda", text_or_null(driver.version)},
          {"devices", devices},
          {"error", text_or_null(driver.error)}};
}

Json nvrtc_json(const NvrtcReport& nvrtc) {
  Json places = Json::array();
  for (const NvrtcReport::Place& place : nvrtc.places) {
    places.push_back({{"path", place.path}, {"origin", place.origin}, {"outcome", place.outcome}});
  }
  return {{"library", text_or_null(nvrtc.library)},
          {"origin", text_or_null(nvrtc.origin)},
          {"version", text_or_null(nvrtc.version)},
          {"architectures", arch_names(nvrtc)},
          {"places", places},
          {"error", text_or_null(nvrtc.error)}};
}

Json report_json(const DoctorReport& report) {
  Json environment = Json::object();
  for (const auto& [name, value] : report.environment) environment[name] = value;
  Json problems = Json::array();
  for (const Problem& problem : report.problems) {
    problems.push_back(
        {{"what", problem.what}, {"why", problem.why}, {"asked_for", problem.asked_for}});
  }
  const CacheReport& cache = report.cache;
  return {{"version", version()},
          {"commit", commit()},
          {"driver", driver_json(report.driver)},
          {"nvrtc", nvrtc_json(report.nvrtc)},
          {"cache",
           {{"folder", text_or_null(cache.folder)},
            {"writable", cache.error.empty()},
            {"error", text_or_null(cache.error)},
            {"entries", cache.entries},
            {"bytes", cache.bytes},
            {"damaged", cache.damaged}}},
          {"host_compiler",
           {{"command", text_or_null(report.host_compiler.command)},
            {"error", text_or_null(report.host_compiler.error)}}},
          {"environment", environment},
          {"problems", problems}};
}

ExitCode doctor(const DoctorOptions& options) {
  const DoctorReport report =
      examine(runtime_options(options.cache_dir), options.cache_dir.has_value());
  if (options.json) {
    // A path need not be UTF-8.
    fmt::print("{}\n", report_json(report).dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    print_text(report);
  }
  const bool broken = std::any_of(report.problems.begin(), report.problems.end(),
                                  [](const Problem& problem) { return problem.asked_for; });
  return broken ? ExitCode::environment : ExitCode::ok;
}

}  // namespace

void add_doctor_command(Verb tool) {
  const auto options = std::make_shared<DoctorOptions>();
  Verb verb = tool.add_verb("doctor", "Say what works on this machine, and why not");
  add_cache_dir_option(verb, options->cache_dir);
  verb.add_flag("--json", options->json, "Print JSON");
  verb.footer(kFooter);
  verb.on_named([options] { return doctor(*options); });
}

}  // namespace ropejit
