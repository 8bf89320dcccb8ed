#include "tools/benchmark_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "ropejit/error.h"
#include "ropejit/model.h"
#include "tools/version.h"

namespace ropejit {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchema = 1;

/// Nanoseconds are what timing can tell at best.
double rounded(double value) { return static_cast<double>(std::llround(value * 10000)) / 10000; }

Json spec_json(RopeSpec spec) {
  spec.rotary_dim = spec.rotary();
  return Json::parse(to_json(spec));
}

/// 0 is null: the driver does not say.
Json number_or_null(int number) { return number == 0 ? Json() : Json(number); }

Json device_json(const BenchmarkReport& report) {
  const DeviceInfo& device = report.device;
  return {
      {"name", device.name},
      {"capability", fmt::format("{}.{}", device.major, device.minor)},
      {"multiprocessors", device.sm_count},
      {"l2_bytes", device.l2_bytes},
      {"memory_bytes", device.memory_bytes},
      {"clock_khz", number_or_null(report.clocks.core)},
      {"memory_clock_khz", number_or_null(report.clocks.memory)},
      {"cuda", fmt::format("{}.{}", report.cuda_version / 1000, report.cuda_version % 1000 / 10)},
      {"nvrtc", report.nvrtc}};
}

Json config_json(const LaunchConfig& config) {
  return {{"block_threads", config.block_threads},
          {"access_bytes", config.access_bytes},
          {"pairing", name(config.pairing)},
          {"heads_per_thread", config.heads_per_thread},
          {"streaming_stores", config.streaming_stores}};
}

Json cell_json(const BenchmarkCell& cell) {
  return {{"spec", spec_json(cell.workload.spec)},
          {"tokens", cell.workload.tokens},
          {"in_place", cell.workload.in_place},
          {"layout", name(cell.workload.strides)},
          {"group", cell.group.empty() ? Json() : Json(cell.group)},
          {"bytes", cell.bytes},
          {"gpu_us", rounded(cell.gpu.us)},
          {"gpu_us_low", rounded(cell.gpu.low)},
          {"gpu_us_high", rounded(cell.gpu.high)},
          {"copy_us", rounded(cell.copy.us)},
          {"copy_kind", name(cell.copy_kind)},
          {"twin_us", rounded(cell.twin.us)},
          {"chain_us", cell.chain ? Json(rounded(cell.chain->us)) : Json()},
          {"rounds", cell.gpu.rounds},
          {"config", config_json(cell.config)},
          {"match", name(cell.match)}};
}

Json host_json(const HostMeasurement& host) {
  const PairedTiming& timing = host.timing;
  return {{"spec", spec_json(host.spec)},
          {"apply_ns", rounded(timing.first_ns.median)},
          {"raw_ns", rounded(timing.second_ns.median)},
          {"overhead_ns", rounded(timing.difference_ns.median)},
          {"overhead_ns_low", rounded(timing.difference_ns.low)},
          {"overhead_ns_high", rounded(timing.difference_ns.high)},
          {"launches", timing.repetitions}};
}

Json start_json(const StartMeasurement& start) {
  const StartTiming& timing = start.timing;
  return {{"spec", spec_json(start.spec)},
          {"cold_ms", rounded(timing.cold_ms)},
          {"kernels", timing.cold.compiles},
          {"disk_ms", rounded(timing.warm_ms)},
          {"disk_runs", timing.warm_runs}};
}

/// Text that need not be UTF-8, a device's name say, does not spoil the file.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A list with a line for each item, so that a difference between two files shows where it is.
template <class Items, class ToJson>
std::string list_text(const Items& items, ToJson one_json) {
  std::string text = "[";
  for (const auto& item : items) {
    text += text.size() == 1 ? "\n  " : ",\n  ";
    text += text_of(one_json(item));
  }
  return text + (items.empty() ? "]" : "\n ]");
}

}  // namespace

std::string to_json(const BenchmarkReport& report) {
  const std::pair<const char*, std::string> members[] = {
      {"schema", text_of(kSchema)},
      {"version", text_of(version())},
      {"commit", text_of(commit())},
      {"date", text_of(report.date)},
      {"device", text_of(device_json(report))},
      {"cells", list_text(report.cells, cell_json)},
      {"host", list_text(report.host, host_json)},
      {"start", list_text(report.start, start_json)}};
  std::string text;
  for (const auto& [key, value] : members) {
    text += fmt::format("{}\n \"{}\": {}", text.empty() ? "{" : ",", key, value);
  }
  return text + "\n}\n";
}

void write_json(const BenchmarkReport& report, const std::string& path) {
  const std::string text = to_json(report);
  const std::string beside = path + ".new";
  errno = 0;
  std::ofstream file(beside, std::ios::binary | std::ios::trunc);
  file << text << std::flush;
  std::error_code error;
  if (!file) error = std::error_code(errno != 0 ? errno : EIO, std::generic_category());
  file.close();
  if (!error) std::filesystem::rename(beside, path, error);
  if (!error) return;
  std::error_code ignored;
  std::filesystem::remove(beside, ignored);
  throw Error(ErrorCode::io, fmt::format("{}: cannot be written: {}", path, error.message()));
}

std::string utc_now() {
  const auto now =
      std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
}

}  // namespace ropejit
