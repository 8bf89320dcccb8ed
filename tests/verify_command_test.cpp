#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/command_line.h"

namespace ropejit {
namespace {

std::vector<std::string> verify(const CommandLine& cli, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"verify", "--spec", cli.spec(kSmallSpec)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("on the CPU every case of a sound kernel passes, with a line each") {
  CommandLine cli;
  cli.set("ROPEJIT_NVRTC", "/no/such/libnvrtc.so");  // nor is a GPU or NVRTC needed
  const CommandResult result = cli.run(verify(cli, {"--cpu"}));
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  // 19 calls for either kernel that keeps the alignment, 6 of which break it and occur once.
  CHECK(last_line(result.out) == "32 passed, 0 failed");
  CHECK(count_lines(result.out, "  ok    ") == 32);
  CHECK(result.out.starts_with("d16 r16 bfloat16 sequential q2 kv1 offset exact forward a16  ("));
}

TEST_CASE("a spec that is named twice is verified once") {
  const CommandLine cli;
  const CommandResult result = cli.run(verify(cli, {"--spec", cli.spec(kSmallSpec), "--cpu"}));
  CHECK(last_line(result.out) == "32 passed, 0 failed");
}

TEST_CASE("a model is verified with each of its frequency sets, its kernels built once") {
  const CommandLine cli;
  const std::string local = cli.folder.write("gemma/config.json", R"({"model_type": "gemma3_text",
      "head_dim": 16, "num_attention_heads": 2, "num_key_value_heads": 1})");
  const std::vector<std::string> model = {"--model", local, "--variants", "positions=offset"};
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), model.begin(), model.end());
    return cli.run(arguments).out;
  };
  const std::string out = run({"verify", "--cpu"});
  CHECK(last_line(out) == "64 passed, 0 failed");
  const std::string spec = "d16 r16 bfloat16 sequential q2 kv1 offset exact forward a16  ";
  const std::string name = "gemma3_text (gemma)";
  CHECK(count_lines(out, spec + "(" + name + ", full_attention)") == 1);
  CHECK(count_lines(out, spec + "(" + name + ", sliding_attention)") == 1);
  CHECK(last_line(run({"prewarm", "--arch", "sm_90"})).starts_with("compiled 3, cached 0"));
  CHECK(count_lines(run({"explain", "--device-class", "9.0,132,62914560"}), spec) == 1);
}

TEST_CASE("frequencies that depend on the length are verified on both sides of the context") {
  const CommandLine cli;
  const std::string model = cli.folder.write("config.json", R"({"model_type": "llama",
      "head_dim": 16, "num_attention_heads": 2, "max_position_embeddings": 4096,
      "rope_scaling": {"type": "dynamic", "factor": 2.0}})");
  const std::string out =
      cli.run({"verify", "--cpu", "--model", model, "--variants", "positions=offset"}).out;
  CHECK(contains(out, "), 4096 tokens)\n"));
  CHECK(contains(out, "), 8192 tokens)\n"));
  CHECK(last_line(out).ends_with("passed, 0 failed"));
}

TEST_CASE("a device that computes nothing fails every case with tokens") {
  CommandLine cli;
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  const CommandResult result = cli.run(verify(cli, {}));
  CHECK(result.exit_code == 1);
  CHECK(last_line(result.out) == "2 passed, 30 failed");
  CHECK(count_lines(result.out, "  FAIL  ") == 30);
  CHECK(count_lines(result.out, "executed on device 0 (Stub GPU, sm_90)") == 1);
}

TEST_CASE("--timing prints a cold and a warm start before the cases") {
  CommandLine cli;
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  const std::vector<std::string> lines = lines_of(cli.run(verify(cli, {"--timing"})).out);
  REQUIRE(lines.size() > 2);
  CHECK(lines[0].starts_with("cold start "));
  CHECK(lines[0].ends_with(" ms  (empty cache: NVRTC opened, 3 kernels compiled)"));
  CHECK(lines[1].starts_with("warm start "));
  CHECK(lines[1].ends_with(" ms  (from disk, NVRTC not opened; median of 15)"));
}

TEST_CASE("--cpu without a C++ compiler says what was tried") {
  CommandLine cli;
  cli.set("PATH", "");
  cli.set("CXX", std::nullopt);
  const CommandResult result = cli.run(verify(cli, {"--cpu"}));
  CHECK(result.exit_code == 3);
  CHECK(result.out.empty());
  CHECK(result.err ==
        "ropejit: --cpu: no C++ compiler found: tried c++, g++, clang++; install g++ or set CXX\n");
  cli.set("CXX", "/no/such/c++");
  CHECK(contains(cli.run(verify(cli, {"--cpu"})).err, "tried /no/such/c++ (from $CXX)"));
}

TEST_CASE("a kernel that does not compile is a failed case, and the log is on stderr") {
  CommandLine cli;
  cli.set("CXX", "/bin/false");
  const CommandResult result = cli.run(verify(cli, {"--cpu"}));
  CHECK(result.exit_code == 1);
  CHECK(last_line(result.out) == "2 passed, 30 failed");  // no tokens, no kernel
  CHECK(contains(result.err, "command: /bin/false"));
}

TEST_CASE("without a driver --cpu is recommended") {
  const CommandLine cli;
  const CommandResult result = cli.run(verify(cli, {}));
  CHECK(result.exit_code == 3);
  CHECK(result.out.empty());
  CHECK(contains(result.err, "cannot open the CUDA driver's library (libcuda); tried:\n"));
  CHECK(last_line(result.err) == "`--cpu` verifies without a GPU");
}

TEST_CASE("a device that does not exist is refused") {
  CommandLine cli;
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  for (const std::string device : {"7", "-1"}) {
    const CommandResult result = cli.run(verify(cli, {"--device", device}));
    CHECK(result.exit_code == 2);
    CHECK(contains(result.err, "device: " + device + " is out of range"));
  }
}

TEST_CASE("a cold cache without NVRTC, or with compiling switched off, is the machine's fault") {
  CommandLine cli;
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  cli.set("ROPEJIT_NVRTC", "/no/such/libnvrtc.so");
  const CommandResult missing = cli.run(verify(cli, {}));
  CHECK(missing.exit_code == 3);
  CHECK(contains(missing.err, "/no/such/libnvrtc.so"));
  cli.set("ROPEJIT_NO_COMPILE", "1");
  const CommandResult off = cli.run(verify(cli, {}));
  CHECK(off.exit_code == 3);
  CHECK(contains(off.err, "`ropejit prewarm` builds it"));
}

TEST_CASE("--cpu goes with neither --device nor --timing") {
  const CommandLine cli;
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--cpu", "--device", "0"}, {"--cpu", "--timing"}}) {
    const CommandResult result = cli.run(verify(cli, more));
    CHECK(result.exit_code == 2);
    CHECK(result.err.starts_with("ropejit: verify: "));
    for (const std::string word : {"excludes", "--cpu", more[1].c_str()}) {
      CHECK(contains(result.err, word));
    }
  }
}

}  // namespace ropejit
