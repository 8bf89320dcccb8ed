#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "src/tuning_table.h"
#include "tests/command_line.h"
#include "tests/tuning_fixture.h"

namespace ropejit {
namespace {

using nlohmann::json;

constexpr LaunchConfig kA{64, 16, Pairing::registers, 1, false};
constexpr LaunchConfig kB{256, 8, Pairing::exchange, 2, true};

/// The spec of kSmallSpec.
RopeSpec small() {
  RopeSpec spec;
  spec.head_dim = 16;
  spec.q_heads = 2;
  spec.kv_heads = 1;
  return spec;
}

/// The command line with a tuned file for kBig, known as `NVIDIA H200`, and for the stub's device.
struct ExplainLine : CommandLine {
  ExplainLine() {
    TuningRun big = run_on(kBig, {entry(small(), 1, kA), entry(small(), 512, kB)});
    big.aliases = {"NVIDIA H200"};
    TuningEntry alone = entry(small(), 8, kB);
    alone.baseline.reset();
    tuned = folder.write("mine.json", to_json(file_of({big, run_on(kStubClass, {alone})})));
  }
  CommandResult explain(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"explain", "--spec", spec(kSmallSpec)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  std::string tuned;
};

}  // namespace

TEST_CASE("for a class of devices, each range of token counts is explained, without a GPU") {
  const ExplainLine cli;
  const CommandResult result =
      cli.explain({"--device-class", "9.0,132,62914560", "--tuned", cli.tuned});
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  CHECK(result.out ==
        "a device, of class 9.0,132,62914560 (capability, multiprocessors, bytes of L2 cache)\n\n"
        "d16 r16 bfloat16 sequential q2 kv1 offset exact forward a16  (" +
            (cli.folder / "spec.json").string() +
            ")\n"
            "           1  64 threads, 16 bytes, registers, 1 head             exact        "
            "10 us (9.9 to 10.1)  " +
            cli.tuned +
            ": measured for this spec at 1 token on this class of devices\n"
            "     2 to 16  64 threads, 16 bytes, registers, 1 head             near_tokens  "
            "10 us (9.9 to 10.1)  " +
            cli.tuned +
            ": measured for this spec at 1 token, the nearest count that was\n"
            "   17 to 256  256 threads, 8 bytes, exchange, 2 heads, streaming  near_tokens  "
            "10 us (9.9 to 10.1)  " +
            cli.tuned +
            ": measured for this spec at 512 tokens, the nearest count that was\n"
            "  257 to 512  256 threads, 8 bytes, exchange, 2 heads, streaming  exact        "
            "10 us (9.9 to 10.1)  " +
            cli.tuned +
            ": measured for this spec at 512 tokens on this class of devices\n"
            "    from 513  256 threads, 8 bytes, exchange, 2 heads, streaming  near_tokens  "
            "10 us (9.9 to 10.1)  " +
            cli.tuned + ": measured for this spec at 512 tokens, the nearest count that was\n");
}

TEST_CASE("token counts that are named have a line each, in their order") {
  const ExplainLine cli;
  const std::vector<std::string> lines = lines_of(
      cli.explain({"--device-class", "NVIDIA H200", "--tuned", cli.tuned, "--tokens", "300,2,3"})
          .out);
  REQUIRE(lines.size() == 6);
  CHECK(lines[0].starts_with("NVIDIA H200, of class 9.0,132,62914560 "));
  CHECK(lines[3].starts_with("  300  256 threads"));
  CHECK(lines[4].starts_with("    2  64 threads"));
  CHECK(lines[5].starts_with("    3  64 threads"));
}

TEST_CASE("on a GPU, that GPU is explained for, unless another one or a class is named") {
  ExplainLine cli;
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  const CommandResult result = cli.explain({"--tuned", cli.tuned, "--tokens", "8"});
  CHECK(result.exit_code == 0);
  CHECK(result.out.starts_with("device 0, Stub GPU, of class " + describe(kStubClass) + " ("));
  CHECK(contains(result.out, "measured for this spec at 8 tokens on this class of devices"));
  const CommandResult absent = cli.explain({"--device", "7"});
  CHECK(absent.exit_code == 2);
  CHECK(contains(absent.err, "device: 7 is out of range"));
  CHECK(cli.explain({"--device", "0", "--device-class", "9.0,1,1"}).exit_code == 2);
}

TEST_CASE("without a GPU and without a class, what is missing is said, with exit code 3") {
  ExplainLine cli;
  const CommandResult no_driver = cli.explain({"--tuned", cli.tuned});
  CHECK(no_driver.exit_code == 3);
  CHECK(no_driver.out.empty());
  CHECK(contains(no_driver.err, "cannot open the CUDA driver's library"));
  CHECK(no_driver.err.ends_with("without a GPU, name what to explain for by --device-class\n"));
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  cli.set("STUB_CUDA_FAIL", "cuInit=100");
  CHECK(cli.explain({}).exit_code == 3);
}

TEST_CASE("the JSON has all that is known of every choice") {
  const ExplainLine cli;
  const CommandResult result = cli.explain(
      {"--device-class", "nvidia h200", "--tuned", cli.tuned, "--tokens", "600,1", "--json"});
  CHECK(result.exit_code == 0);
  const json document = json::parse(result.out);
  CHECK(document["device"] == "nvidia h200");
  CHECK(document["device_class"] ==
        json{{"major", 9}, {"minor", 0}, {"sm_count", 132}, {"l2_bytes", 62914560}});
  REQUIRE(document["specs"].size() == 1);
  CHECK(document["specs"][0]["spec"]["head_dim"] == 16);
  CHECK(document["specs"][0]["origin"] == (cli.folder / "spec.json").string());
  const json& choices = document["specs"][0]["choices"];
  REQUIRE(choices.size() == 2);
  const json config = {{"block_threads", 256},
                       {"access_bytes", 8},
                       {"pairing", "exchange"},
                       {"heads_per_thread", 2},
                       {"streaming_stores", true}};
  const json default_config = {{"block_threads", 128},
                               {"access_bytes", 16},
                               {"pairing", "registers"},
                               {"heads_per_thread", 1},
                               {"streaming_stores", false}};
  CHECK(choices[0] ==
        json{{"tokens", 600},
             {"config", config},
             {"match", "near_tokens"},
             {"file", cli.tuned},
             {"why", "measured for this spec at 512 tokens, the nearest count that was"},
             {"measured",
              {{"tokens", 512},
               {"samples", 31},
               {"chosen", {{"config", config}, {"us", 10.0}, {"low", 9.9}, {"high", 10.1}}},
               {"default",
                {{"config", default_config}, {"us", 11.0}, {"low", 10.9}, {"high", 11.1}}}}}});
  CHECK(choices[1]["match"] == "exact");
}

TEST_CASE("in the JSON, what there is not is null, and every bucket stands for itself") {
  const ExplainLine cli;
  const json document = json::parse(cli.explain({"--device-class", "8.9,1,2", "--json"}).out);
  CHECK(document["device"].is_null());
  const json& choices = document["specs"][0]["choices"];
  REQUIRE(choices.size() == kTokenBuckets);
  CHECK(choices[21]["tokens"] == 2097152);
  CHECK(choices[0]["match"] == "heuristic");
  CHECK(choices[0]["file"].is_null());
  CHECK(choices[0]["measured"].is_null());
  const json measured = json::parse(cli.explain({"--device-class", describe(kStubClass), "--tuned",
                                                 cli.tuned, "--tokens", "8", "--json"})
                                        .out);
  CHECK(measured["specs"][0]["choices"][0]["measured"]["default"].is_null());
}

TEST_CASE("the file of $ROPEJIT_TUNED is read, and one that --tuned names instead of it") {
  ExplainLine cli;
  const auto file_named = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--device-class", describe(kBig), "--tokens", "1",
                                          "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return json::parse(cli.explain(arguments).out)["specs"][0]["choices"][0]["file"];
  };
  cli.set("ROPEJIT_TUNED", cli.tuned);
  CHECK(file_named({}) == cli.tuned);
  const std::string other =
      cli.folder.write("other.json", to_json(file_of({run_on(kBig, {entry(small(), 1, kB)})})));
  CHECK(file_named({"--tuned", other}) == other);
  cli.set("ROPEJIT_TUNED", std::nullopt);
  const std::string usual = cli.folder.write(
      "config/ropejit/tuned.json", to_json(file_of({run_on(kBig, {entry(small(), 1, kB)})})));
  CHECK(file_named({}) == usual);
}

TEST_CASE("a config that cannot run is passed over, and the line says so") {
  const ExplainLine cli;
  const std::string poisoned = cli.folder.write(
      "bad.json",
      to_json(file_of({run_on(
          kBig, {entry(small(), 1, {100, 16, Pairing::registers, 1}), entry(small(), 2, kA)})})));
  const CommandResult result =
      cli.explain({"--device-class", describe(kBig), "--tuned", poisoned, "--tokens", "1"});
  CHECK(result.exit_code == 0);
  CHECK(contains(result.out, "passed over what " + poisoned +
                                 " says for 1 token: block_threads = 100: must be a multiple"));
}

TEST_CASE("a bad file, class, name or list is bad usage that is named") {
  const ExplainLine cli;
  const auto refused = [&](const std::vector<std::string>& arguments) {
    const CommandResult result = cli.explain(arguments);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    return result.err;
  };
  const std::string big = describe(kBig);
  const std::string bad = cli.folder.write("bad.json", "{}");
  CHECK(refused({"--device-class", big, "--tuned", bad}) ==
        "ropejit: " + bad + ": schema: missing; a tuned file must have it\n");
  const std::string missing = (cli.folder / "missing.json").string();
  CHECK(refused({"--device-class", big, "--tuned", missing})
            .starts_with("ropejit: " + missing + ": cannot be read: "));
  CHECK(refused({"--device-class", big, "--tuned", ""}) ==
        "ropejit: --tuned = \"\": must name a file\n");
  CHECK(refused({"--device-class", "9.0,x,1"})
            .starts_with("ropejit: --device-class = 9.0,x,1: must be compute capability, "));
  CHECK(refused({"--device-class", "NVIDIA H20", "--tuned", cli.tuned}) ==
        "ropejit: --device-class = NVIDIA H20: must be compute capability, multiprocessors and "
        "bytes of L2 cache, such as 9.0,132,62914560, or a device's name; nearest known: NVIDIA "
        "H200\n");
  CHECK(refused({"--device-class", ""}).starts_with("ropejit: --device-class = \"\": must "));
  CHECK(refused({"--device-class", big, "--tokens", "1,x"}).starts_with("ropejit: --tokens = "));
  CHECK(contains(cli.run({"explain"}).err, "nothing to work on"));
}

}  // namespace ropejit
