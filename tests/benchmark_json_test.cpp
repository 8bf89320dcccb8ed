#include "tools/benchmark_json.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "ropejit/model.h"
#include "tests/refusal.h"
#include "tests/temporary_folder.h"
#include "tools/version.h"

namespace ropejit {
namespace {

using Json = nlohmann::json;

BenchmarkCell small_cell() {
  BenchmarkCell cell;
  cell.workload.spec.head_dim = 64;
  cell.workload.spec.q_heads = 2;
  cell.workload.spec.kv_heads = 1;
  cell.workload.tokens = 300;
  cell.workload.in_place = true;
  cell.workload.strides = Strides::padded;
  cell.config = {
      .block_threads = 96, .access_bytes = 8, .pairing = Pairing::exchange, .heads_per_thread = 2};
  cell.config.streaming_stores = true;
  cell.match = Match::near_spec;
  cell.bytes = 1234;
  cell.gpu = {1.25, 1.2, 1.3000000001, 7};
  cell.copy = {1.1, 1.0, 1.2, 7};
  cell.copy_kind = CopyKind::kernel_320;
  cell.twin = {1.2, 1.1, 1.3, 7};
  return cell;
}

BenchmarkReport small_report() {
  BenchmarkReport report;
  report.device = {0, "A GPU", 9, 0, 132, 50 << 20, std::int64_t{80} << 30};
  report.clocks = {1980000, 0};
  report.cuda_version = 12080;
  report.nvrtc = "NVRTC 12.8";
  report.date = "2026-01-31T12:00:00Z";
  report.cells = {small_cell(), small_cell()};
  report.cells[1].chain = Timing{0.7, 0.6, 0.8, 7};
  report.cells[1].group = "decode";
  const PairedTiming host{{3400, 3390, 3410}, {3350, 3340, 3360}, {50, 48, 52}, 10000};
  report.host = {{small_cell().workload.spec, host}};
  StartTiming start{80.5, 0.75, 15, {}, {}};
  start.cold.compiles = 3;
  report.start = {{small_cell().workload.spec, start}};
  return report;
}

std::set<std::string> keys(const Json& object) {
  std::set<std::string> all;
  for (const auto& item : object.items()) all.insert(item.key());
  return all;
}

}  // namespace

TEST_CASE("the report has the members that docs/performance.md names, and no other") {
  const Json json = Json::parse(to_json(small_report()));
  CHECK(keys(json) == std::set<std::string>{"schema", "version", "commit", "date", "device",
                                            "cells", "host", "start"});
  CHECK(keys(json["device"]) == std::set<std::string>{"name", "capability", "multiprocessors",
                                                      "l2_bytes", "memory_bytes", "clock_khz",
                                                      "memory_clock_khz", "cuda", "nvrtc"});
  CHECK(keys(json["cells"][0]) ==
        std::set<std::string>{"spec", "tokens", "in_place", "layout", "group", "bytes", "gpu_us",
                              "gpu_us_low", "gpu_us_high", "copy_us", "copy_kind", "twin_us",
                              "chain_us", "rounds", "config", "match"});
  CHECK(keys(json["host"][0]) == std::set<std::string>{"spec", "apply_ns", "raw_ns", "overhead_ns",
                                                       "overhead_ns_low", "overhead_ns_high",
                                                       "launches"});
  CHECK(keys(json["start"][0]) ==
        std::set<std::string>{"spec", "cold_ms", "kernels", "disk_ms", "disk_runs"});
  // The document names every one of them.
  std::ifstream file(ROPEJIT_SOURCE_DIR "/docs/performance.md");
  const std::string document((std::istreambuf_iterator<char>(file)),
                             std::istreambuf_iterator<char>());
  for (const Json& object :
       {json, json["device"], json["cells"][0], json["host"][0], json["start"][0]}) {
    for (const std::string& key : keys(object)) {
      CAPTURE(key);
      CHECK(document.find('`' + key + '`') != std::string::npos);
    }
  }
}

TEST_CASE("values are what was measured") {
  const Json json = Json::parse(to_json(small_report()));
  CHECK(json["schema"] == 1);
  CHECK(json["version"] == version());
  CHECK(json["date"] == "2026-01-31T12:00:00Z");
  CHECK(json["device"]["name"] == "A GPU");
  CHECK(json["device"]["capability"] == "9.0");
  CHECK(json["device"]["cuda"] == "12.8");
  CHECK(json["device"]["nvrtc"] == "NVRTC 12.8");
  CHECK(json["device"]["clock_khz"] == 1980000);
  CHECK(json["device"]["memory_clock_khz"].is_null());

  const Json& cell = json["cells"][0];
  CHECK(cell["tokens"] == 300);
  CHECK(cell["in_place"] == true);
  CHECK(cell["layout"] == "padded");
  CHECK(cell["group"].is_null());
  CHECK(cell["bytes"] == 1234);
  CHECK(cell["gpu_us"] == 1.25);
  CHECK(cell["gpu_us_low"] == 1.2);
  CHECK(cell["gpu_us_high"] == 1.3);
  CHECK(cell["copy_us"] == 1.1);
  CHECK(cell["copy_kind"] == "kernel_320");
  CHECK(cell["twin_us"] == 1.2);
  CHECK(cell["chain_us"].is_null());
  CHECK(cell["rounds"] == 7);
  CHECK(cell["config"] == Json{{"block_threads", 96},
                               {"access_bytes", 8},
                               {"pairing", "exchange"},
                               {"heads_per_thread", 2},
                               {"streaming_stores", true}});
  CHECK(cell["match"] == "near_spec");
  CHECK(json["cells"][1]["chain_us"] == 0.7);
  CHECK(json["cells"][1]["group"] == "decode");

  CHECK(json["host"][0]["apply_ns"] == 3400);
  CHECK(json["host"][0]["raw_ns"] == 3350);
  CHECK(json["host"][0]["overhead_ns"] == 50);
  CHECK(json["host"][0]["overhead_ns_low"] == 48);
  CHECK(json["host"][0]["overhead_ns_high"] == 52);
  CHECK(json["host"][0]["launches"] == 10000);
  CHECK(json["start"][0]["cold_ms"] == 80.5);
  CHECK(json["start"][0]["kernels"] == 3);
  CHECK(json["start"][0]["disk_ms"] == 0.75);
  CHECK(json["start"][0]["disk_runs"] == 15);
}

TEST_CASE("a cell's spec is a spec file's, with rotary_dim filled in") {
  const Json json = Json::parse(to_json(small_report()));
  RopeSpec expected = small_cell().workload.spec;
  expected.rotary_dim = 64;
  CHECK(parse_specs(json["cells"][0]["spec"].dump(), "a cell").front().spec == expected);
}

TEST_CASE("each cell has a line of its own, and a report without any is valid") {
  const std::string text = to_json(small_report());
  CHECK(std::count(text.begin(), text.end(), '\n') == 2 + 8 + 4 + 3);
  BenchmarkReport empty = small_report();
  empty.cells.clear();
  CHECK(Json::parse(to_json(empty))["cells"] == Json::array());
}

TEST_CASE("a device's name that is not UTF-8 does not spoil the file") {
  BenchmarkReport report = small_report();
  report.device.name = "A \xff";
  CHECK_NOTHROW(Json::parse(to_json(report)));
}

TEST_CASE("a file is replaced as a whole, and nothing is left beside it") {
  const TemporaryFolder folder;
  const std::string path = folder.write("bench.json", "old");
  write_json(small_report(), path);
  std::ifstream file(path);
  CHECK(Json::parse(file)["schema"] == 1);
  CHECK(std::distance(std::filesystem::directory_iterator(folder / ""), {}) == 1);
}

TEST_CASE("a file that cannot be written is named, with the reason") {
  const TemporaryFolder folder;
  const std::string path = (folder / "missing" / "bench.json").string();
  CHECK(refusal([&] { write_json(small_report(), path); }) ==
        "io: " + path + ": cannot be written: No such file or directory");
  const std::string taken = (folder / "bench.json").string();
  std::filesystem::create_directory(taken);
  CHECK(refusal([&] { write_json(small_report(), taken); }).find("io: " + taken + ": ") == 0);
  CHECK_FALSE(std::filesystem::exists(taken + ".new"));
}

TEST_CASE("the date is one") {
  const std::string now = utc_now();
  CHECK(now.size() == std::string("2026-01-31T12:00:00Z").size());
  CHECK(now.starts_with("20"));
  CHECK(now.ends_with("Z"));
  CHECK(now[10] == 'T');
}

}  // namespace ropejit
