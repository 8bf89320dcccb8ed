#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/command_line.h"

namespace ropejit {
namespace {

/// A machine with a driver and a device, where everything works.
struct SoundMachine : CommandLine {
  SoundMachine() {
    set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
    set("CXX", std::nullopt);
  }

  nlohmann::json report(int expected_exit_code) const {
    const CommandResult result = run({"doctor", "--json"});
    CHECK(result.exit_code == expected_exit_code);
    CHECK(result.err.empty());
    return nlohmann::json::parse(result.out);
  }
};

/// Why something would not work; empty if it is not among the problems.
std::string problem(const nlohmann::json& report, const std::string& what) {
  for (const auto& problem : report["problems"]) {
    if (contains(problem["what"], what)) return problem["why"];
  }
  return {};
}

}  // namespace

TEST_CASE("a sound machine's report has every section and no problem") {
  const CommandResult result = SoundMachine().run({"doctor"});
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  CHECK(result.out.starts_with("ropejit 0."));
  for (const char* section : {"driver", "NVRTC", "cache", "host compiler", "environment"}) {
    CHECK(contains(result.out, std::string("\n\n") + section + "\n  "));
  }
  CHECK(contains(result.out, "  device 0      Stub GPU, sm_90, "));
  CHECK(count_lines(result.out, "  looked in     ") == 1);
  CHECK(result.out.ends_with("\n\nwhat would not work\n  nothing: all of ropejit works here\n"));
}

TEST_CASE("the report as JSON says what was found") {
  const SoundMachine cli;
  const auto report = cli.report(0);
  CHECK(report["version"].get<std::string>().starts_with("0."));
  CHECK_FALSE(report["commit"].get<std::string>().empty());
  CHECK(report["driver"]["library"] == ROPEJIT_STUB_CUDA);
  CHECK(report["driver"]["cuda"] == "13.0");
  CHECK(report["driver"]["devices"][0]["arch"] == "sm_90");
  CHECK(report["nvrtc"]["version"].get<std::string>().starts_with("NVRTC 1"));
  const auto& archs = report["nvrtc"]["architectures"];
  CHECK(std::find(archs.begin(), archs.end(), "sm_90") != archs.end());
  CHECK(report["cache"]["folder"] == cli.cache_folder());
  CHECK(report["cache"]["writable"] == true);
  CHECK(report["host_compiler"]["command"].is_string());
  CHECK(report["environment"]["ROPEJIT_CACHE_DIR"] == cli.cache_folder());
  CHECK(report["problems"].empty());
}

TEST_CASE("exactly one place of NVRTC's search is the one that was taken") {
  const auto report = SoundMachine().report(0);
  int taken = 0;
  bool after = false;
  for (const auto& place : report["nvrtc"]["places"]) {
    if (place["outcome"] == "taken") {
      ++taken;
      CHECK(place["origin"] == report["nvrtc"]["origin"]);
      after = true;
    } else {
      CHECK(place["outcome"] == (after ? "not needed" : "failed"));
    }
  }
  CHECK(taken == 1);
}

TEST_CASE("the cache's entries, bytes and damage are counted") {
  const SoundMachine cli;
  REQUIRE(cli.run({"prewarm", "--spec", cli.spec(kSmallSpec)}).exit_code == 0);
  const auto listed = nlohmann::json::parse(cli.run({"cache", "list", "--json"}).out)["entries"];
  cli.folder.write("cache/00000000000000000000000000000000.cubin", "not an entry");
  const auto report = cli.report(0);
  CHECK(report["cache"]["entries"] == listed.size() + 1);
  CHECK(report["cache"]["damaged"] == 1);
  int bytes = 12;
  for (const auto& entry : listed) bytes += entry["bytes"].get<int>();
  CHECK(report["cache"]["bytes"] == bytes);
}

TEST_CASE("an NVRTC that was asked for and cannot be used is exit code 3, with what was tried") {
  SoundMachine cli;
  cli.set("ROPEJIT_NVRTC", "/no/such/libnvrtc.so");
  const auto report = cli.report(3);
  CHECK(contains(report["nvrtc"]["error"], "/no/such/libnvrtc.so"));
  CHECK(report["nvrtc"]["library"].is_null());
  CHECK(report["nvrtc"]["places"].size() == 1);
  CHECK(report["nvrtc"]["places"][0]["outcome"] == "failed");
  CHECK(problem(report, "compiling") == "cannot open NVRTC (libnvrtc), which compiles the kernels");
  CHECK(report["problems"][0]["asked_for"] == true);
  CHECK(contains(cli.run({"doctor"}).out, "\n                /no/such/libnvrtc.so: "));
}

TEST_CASE("a driver that was asked for and cannot be used is exit code 3") {
  SoundMachine cli;
  cli.set("STUB_CUDA_FAIL", "cuInit=100");
  CHECK(contains(problem(cli.report(3), "GPU"), "CUDA_ERROR_NO_DEVICE"));
  cli.set("ROPEJIT_CUDA", "/no/such/libcuda.so");
  CHECK(contains(cli.report(3)["driver"]["error"], "/no/such/libcuda.so"));
}

TEST_CASE("a machine without a driver is fine for who did not ask for one") {
  SoundMachine cli;
  cli.set("ROPEJIT_CUDA", std::nullopt);
  cli.set("CUDA_VISIBLE_DEVICES", "");  // and one with a driver has no device then
  CHECK_FALSE(problem(cli.report(0), "running kernels on a GPU").empty());
}

TEST_CASE("a cache folder that was asked for and cannot be written is exit code 3") {
  SoundMachine cli;
  const std::string folder = cli.folder.write("file", "not a folder") + "/cache";
  cli.set("ROPEJIT_CACHE_DIR", folder);
  const auto report = cli.report(3);
  CHECK(report["cache"]["writable"] == false);
  CHECK(contains(problem(report, "on disk"), folder));
  cli.set("ROPEJIT_CACHE_DIR", std::nullopt);
  cli.set("XDG_CACHE_HOME", (cli.folder / "file").string());
  CHECK(cli.report(0)["cache"]["writable"] == false);
  CHECK(cli.run({"doctor", "--cache-dir", folder}).exit_code == 3);
}

TEST_CASE("a tuned file that was asked for and cannot be used is exit code 3") {
  SoundMachine cli;
  cli.set("ROPEJIT_TUNED", "/no/such/tuned.json");
  const auto report = cli.report(3);
  CHECK(problem(report, "tuned").starts_with("/no/such/tuned.json: cannot be read: "));
  CHECK(report["environment"]["ROPEJIT_TUNED"] == "/no/such/tuned.json");
  cli.set("ROPEJIT_TUNED", std::nullopt);
  const std::string usual = cli.folder.write("config/ropejit/tuned.json", "{}");
  CHECK(problem(cli.report(0), "tuned") ==
        "tuned file ignored: " + usual + ": schema: missing; a tuned file must have it");
}

TEST_CASE("what is switched off or missing is said") {
  SoundMachine cli;
  cli.set("ROPEJIT_NO_COMPILE", "1");
  cli.set("PATH", "");
  const auto report = cli.report(0);
  CHECK(problem(report, "compiling") == "switched off by ROPEJIT_NO_COMPILE=1");
  CHECK(contains(problem(report, "verify --cpu"), "no C++ compiler found"));
  CHECK(report["environment"]["ROPEJIT_NO_COMPILE"] == "1");
}

}  // namespace ropejit
