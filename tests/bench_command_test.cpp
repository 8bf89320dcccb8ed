#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/command_line.h"

namespace ropejit {
namespace {

struct BenchCommand : CommandLine {
  BenchCommand() { set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA); }

  CommandResult bench(const std::vector<std::string>& more,
                      const std::string& json = kSmallSpec) const {
    std::vector<std::string> arguments = {"bench", "--spec", spec(json)};
    if (std::find(more.begin(), more.end(), "--budget") == more.end()) {
      arguments.insert(arguments.end(), {"--budget", "1"});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  std::string json_file() const { return (folder / "bench.json").string(); }
  nlohmann::json json() const { return nlohmann::json::parse(std::ifstream(json_file())); }
};

}  // namespace

TEST_CASE_FIXTURE(BenchCommand,
                  "every token count of every spec is a line, and a cell of the JSON") {
  const std::string specs = R"([{"head_dim": 16, "q_heads": 2, "kv_heads": 1},
      {"head_dim": 16, "q_heads": 2, "kv_heads": 1, "layout": "interleaved"}])";
  const CommandResult result = bench({"--tokens", "1,300", "--json", json_file()}, specs);
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  CHECK(result.out.starts_with("device 0: Stub GPU, sm_90, 132 multiprocessors, 50.0 MiB of L2"));
  CHECK(count_lines(result.out, "cold start ") == 1);
  CHECK(count_lines(result.out, "disk start ") == 1);
  CHECK(count_lines(result.out, "d16 r16 bfloat16 sequential ") == 1);
  CHECK(count_lines(result.out, "d16 r16 bfloat16 interleaved ") == 1);
  CHECK(count_lines(result.out, "   tokens  place  strides ") == 2);
  CHECK(count_lines(result.out, "        1  out    bshd         1.00 ") == 2);
  CHECK(count_lines(result.out, "      300  out    bshd         1.00 ") == 2);
  CHECK(count_lines(result.out, "host time per call: apply ") == 2);
  CHECK(last_line(result.out) == "4 cells measured, 0 left out");

  CHECK(json()["device"]["name"] == "Stub GPU");
  CHECK(json()["cells"].size() == 4);
  CHECK(json()["cells"][1]["tokens"] == 300);
  CHECK(json()["cells"][1]["spec"]["layout"] == "sequential");
  CHECK(json()["cells"][1]["group"].is_null());
  CHECK(json()["cells"][2]["spec"]["layout"] == "interleaved");
  CHECK(json()["host"].size() == 2);
  CHECK(json()["start"].size() == 1);
}

TEST_CASE_FIXTURE(BenchCommand, "--in-place adds cells, and --budget rounds") {
  CHECK(bench({"--tokens", "8", "--in-place", "--json", json_file()}).exit_code == 0);
  REQUIRE(json()["cells"].size() == 2);
  CHECK(json()["cells"][0]["in_place"] == false);
  CHECK(json()["cells"][1]["in_place"] == true);
  const int few = json()["cells"][0]["rounds"];
  CHECK(bench({"--tokens", "8", "--budget", "200", "--json", json_file()}).exit_code == 0);
  CHECK(json()["cells"][0]["rounds"] > 2 * few);
}

TEST_CASE_FIXTURE(BenchCommand, "a model's variants are benchmarked as the other verbs take them") {
  const CommandResult result = run({"bench", "--model", model_path("pythia-70m"), "--variants",
                                    "positions=offset,ragged", "--tokens", "1", "--budget", "1"});
  CHECK(result.exit_code == 0);
  CHECK(last_line(result.out) == "2 cells measured, 0 left out");
}

TEST_CASE_FIXTURE(BenchCommand, "nothing is written to the user's cache") {
  CHECK(bench({"--tokens", "1"}).exit_code == 0);
  CHECK_FALSE(std::filesystem::exists(cache_folder()));
}

TEST_CASE_FIXTURE(BenchCommand, "the suite ends with a summary of its groups") {
  set("STUB_CUDA_MEMORY", "400000");  // enough for a few tokens
  const CommandResult result = run({"bench", "--suite", "--budget", "1", "--json", json_file()});
  INFO(result.err);  // a sanitizer's report, if it is that
  CHECK(result.exit_code == 0);
  CHECK(contains(result.err, "32768 tokens, in place: left out, needs "));
  CHECK(count_lines(result.out, "grid") == 1);  // its title: none of its cells was measured
  CHECK(count_lines(result.out, "decode") == 2);
  CHECK(contains(result.out, "speed relative to the fastest copy"));
  CHECK(count_lines(result.out, "host time per call: ") == 1);
  CHECK(json()["cells"].size() > 10);
  CHECK(json()["cells"].size() < 40);
  const nlohmann::json written = json();
  for (const auto& cell : written["cells"]) CHECK(cell["group"] == "decode");
  CHECK(last_line(result.out)
            .starts_with(std::to_string(json()["cells"].size()) + " cells measured, "));
}

TEST_CASE_FIXTURE(BenchCommand,
                  "where there is no room for any cell, the machine lacks something") {
  set("STUB_CUDA_MEMORY", "1000");
  const CommandResult result = bench({"--tokens", "64"});
  CHECK(result.exit_code == 3);
  CHECK(contains(result.err, "64 tokens: left out, needs 0.0 GiB of device memory"));
  CHECK(last_line(result.out) == "0 cells measured, 1 left out");
}

TEST_CASE_FIXTURE(BenchCommand, "bad options are named, with value and rule") {
  const auto complaint = [&](const std::vector<std::string>& more) {
    const CommandResult result = bench(more);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    return result.err;
  };
  CHECK(complaint({"--tokens", "1,,2"}) ==
        "ropejit: --tokens = 1,,2: `` is no token count; must be numbers from 1 to 16777216 that "
        "are separated by commas\n");
  CHECK(complaint({"--budget", "0.5"}) ==
        "ropejit: --budget = 0.5: must be from 1 to 60000 milliseconds\n");
  CHECK(contains(complaint({"--device", "7"}), "device: 7 is out of range"));
  CHECK(contains(complaint({"--suite"}), "--suite"));
  CHECK(run({"bench"}).exit_code == 2);
  CHECK(contains(run({"bench"}).err, "nothing to work on"));
}

TEST_CASE_FIXTURE(BenchCommand, "what the machine lacks ends with 3, before any measuring") {
  const CommandResult no_file = bench({"--json", (folder / "missing" / "b.json").string()});
  CHECK(no_file.exit_code == 3);
  CHECK(contains(no_file.err, "b.json: cannot be written: No such file or directory"));
  CHECK(no_file.out.empty());

  set("ROPEJIT_NVRTC", "/no/such/libnvrtc.so");
  const CommandResult no_nvrtc = bench({});
  CHECK(no_nvrtc.exit_code == 3);
  CHECK(contains(no_nvrtc.err, "/no/such/libnvrtc.so"));

  set("ROPEJIT_CUDA", "/no/such/libcuda.so");
  const CommandResult no_driver = bench({});
  CHECK(no_driver.exit_code == 3);
  CHECK(no_driver.out.empty());
  CHECK(contains(no_driver.err, "cannot open the CUDA driver's library (libcuda); tried:\n"));
}

TEST_CASE("the help of bench has examples and exit codes") {
  const CommandResult result = CommandLine().run({"bench", "--help"});
  CHECK(result.exit_code == 0);
  CHECK(contains(result.out, "  ropejit bench --suite --json suite.json\n"));
  CHECK(contains(result.out, "Exit codes: 0 done; 1 a kernel"));
  CHECK(contains(result.out, "1,8,32,128,512,2048,8192,32768"));
}

}  // namespace ropejit
