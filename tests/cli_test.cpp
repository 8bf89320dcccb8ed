// What all verbs of the command line tool have in common; a file per verb has the rest.

#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/command_line.h"

namespace ropejit {
namespace {

/// The only line on stderr, for a command line that is refused with exit code 2.
std::string refused(const CommandLine& cli, const std::vector<std::string>& arguments) {
  const CommandResult result = cli.run(arguments);
  CHECK(result.exit_code == 2);
  CHECK(result.out.empty());
  CHECK(lines_of(result.err).size() == 1);
  return last_line(result.err);
}

/// What a spec of 128 elements per head is refused with because of one more or another field.
std::string refused_spec(const std::string& fields) {
  const CommandLine cli;
  return refused(cli, {"prewarm", "--arch", "sm_90", "--spec",
                       cli.spec("{\"q_heads\": 32, \"kv_heads\": 8, " + fields + "}")});
}

}  // namespace

TEST_CASE("every verb has help with its options, examples and the exit codes") {
  const CommandLine cli;
  for (const std::string verb :
       {"inspect", "prewarm", "render", "verify", "tune", "cache", "doctor"}) {
    CAPTURE(verb);
    const CommandResult result = cli.run({verb, "--help"});
    CHECK(result.exit_code == 0);
    CHECK(result.err.empty());
    CHECK(contains(result.out, "Usage: ropejit " + verb));
    CHECK(contains(result.out, "\nExamples:\n  ropejit " + verb));
    CHECK(contains(result.out, "Exit codes: 0 done; 1 a kernel, case or cache entry failed; 2"));
  }
}

TEST_CASE("the tool's own help lists the verbs and the exit codes") {
  const CommandResult result = CommandLine().run({"--help"});
  CHECK(result.exit_code == 0);
  for (const std::string verb :
       {"inspect", "prewarm", "render", "verify", "tune", "cache", "doctor"}) {
    CHECK(count_lines(result.out, "  " + verb + " ") == 1);
  }
  CHECK(contains(result.out, "Exit codes:"));
}

TEST_CASE("the version is one line with the commit") {
  const CommandResult result = CommandLine().run({"--version"});
  CHECK(result.exit_code == 0);
  REQUIRE(lines_of(result.out).size() == 1);
  CHECK(result.out.starts_with("ropejit 0."));
  CHECK(result.out.ends_with(")\n"));
}

TEST_CASE("an unknown or missing verb is refused with the known ones") {
  const CommandLine cli;
  CHECK(refused(cli, {"prewrm"}) ==
        "ropejit: unknown verb prewrm: must be inspect, prewarm, render, verify, bench, tune, "
        "explain, "
        "cache or "
        "doctor; nearest known: prewarm");
  CHECK(refused(cli, {}) ==
        "ropejit: name a verb: inspect, prewarm, render, verify, bench, tune, explain, cache or "
        "doctor");
  CHECK(refused(cli, {"cache"}) == "ropejit: cache: name a verb: list, verify or clear");
  CHECK(refused(cli, {"cache", "lst"}) ==
        "ropejit: cache: unknown verb lst: must be list, verify or clear; nearest known: list");
}

TEST_CASE("an unknown option is refused with the nearest known one") {
  const CommandLine cli;
  CHECK(refused(cli, {"prewarm", "--modle"}) ==
        "ropejit: prewarm: unknown option --modle; nearest known: --model");
  CHECK(refused(cli, {"cache", "list", "--jsn"}) ==
        "ropejit: list: unknown option --jsn; nearest known: --json");
  CHECK(refused(cli, {"doctor", "now"}) == "ropejit: doctor: unexpected argument now");
}

TEST_CASE("a verb without inputs, or with variants of none, is refused") {
  const CommandLine cli;
  for (const std::string verb : {"prewarm", "render", "verify", "tune"}) {
    CHECK(refused(cli, {verb}) ==
          "ropejit: nothing to work on: name a --model config.json or a --spec spec.json");
    CHECK(refused(cli, {verb, "--spec", cli.spec(kSmallSpec), "--variants", "all"}) ==
          "ropejit: --variants: is for --model; a spec file names its own variant");
  }
}

TEST_CASE("a file that is missing or a folder without a config is named") {
  const CommandLine cli;
  const std::string missing = (cli.folder / "missing.json").string();
  for (const std::string option : {"--model", "--spec"}) {
    CHECK(refused(cli, {"render", option, missing}) ==
          "ropejit: " + missing + ": cannot be read: No such file or directory");
  }
  std::filesystem::create_directory(cli.folder / "empty");
  CHECK(contains(refused(cli, {"render", "--model", (cli.folder / "empty").string()}),
                 "empty/config.json: cannot be read"));
}

TEST_CASE("malformed JSON is refused with its line") {
  const CommandLine cli;
  for (const std::string option : {"--model", "--spec"}) {
    const std::string error =
        refused(cli, {"prewarm", "--arch", "sm_90", option, cli.spec("{\n\"head_dim\": 128,\n,}")});
    CHECK(contains(error, "spec.json"));
    CHECK(contains(error, "line 3"));
  }
}

TEST_CASE("a bad field is refused with its name, its value and the rule") {
  struct Refusal {
    std::string fields;
    std::vector<std::string> parts;
  };
  const std::vector<Refusal> refusals = {
      {R"("head_dim": 128, "rotery_dim": 64)", {"rotery_dim", "nearest known", "rotary_dim"}},
      {R"("head_dim": 127)", {"head_dim = 127", "even"}},
      {R"("head_dim": 1026)", {"head_dim = 1026", "1024"}},
      {R"("head_dim": 128, "rotary_dim": 130)", {"rotary_dim = 130", "head_dim"}},
      {R"("head_dim": 128, "rotary_dim": 63)", {"rotary_dim = 63", "even"}},
      {R"("head_dim": 128, "dtype": "float61")", {"dtype", "float61", "float16"}},
      {R"("head_dim": 128, "layout": "nexo")", {"layout", "nexo", "neox"}},
      {R"("head_dim": 128, "alignment": 3)", {"alignment = 3"}},
  };
  for (const Refusal& refusal : refusals) {
    const std::string error = refused_spec(refusal.fields);
    CAPTURE(error);
    for (const std::string& part : refusal.parts) CHECK(contains(error, part));
  }
}

TEST_CASE("heads below 1 are refused") {
  const CommandLine cli;
  for (const std::string heads :
       {"\"q_heads\": 0, \"kv_heads\": 8", "\"q_heads\": 8, \"kv_heads\": 0"}) {
    const std::string error =
        refused(cli, {"render", "--spec", cli.spec("{\"head_dim\": 128, " + heads + "}")});
    CHECK(contains(error, "heads = 0"));
  }
}

TEST_CASE("a spec file without a spec is refused") {
  const CommandLine cli;
  CHECK(contains(refused(cli, {"render", "--spec", cli.spec("[]")}), "at least one spec"));
}

TEST_CASE("a rotation that is not supported is refused by its name") {
  const CommandLine cli;
  for (const auto& [model, what] : {std::pair{"qwen2-vl-7b", "mrope"}, {"deepseek-v3", "MLA"}}) {
    const std::string error =
        refused(cli, {"prewarm", "--arch", "sm_90", "--model", model_path(model)});
    CHECK(contains(error, model));
    CHECK(contains(error, what));
  }
}

TEST_CASE("unknown variants are refused with the nearest known word") {
  const CommandLine cli;
  const std::string model = model_path("llama-3-8b");
  CHECK(contains(refused(cli, {"render", "--model", model, "--variants", "al"}),
                 "nearest known: all"));
  CHECK(contains(refused(cli, {"render", "--model", model, "--variants", "positions=ofset"}),
                 "offset"));
}

TEST_CASE("bad input leaves no cache folder behind") {
  const CommandLine cli;
  refused(cli, {"prewarm", "--arch", "sm_90", "--spec", cli.spec(R"({"head_dim": 7})")});
  CHECK_FALSE(std::filesystem::exists(cli.cache_folder()));
}

TEST_CASE("a layout that had to be assumed is said on stderr") {
  const CommandLine cli;
  const std::string config = cli.folder.write("config.json", R"({"hidden_size": 64,
      "num_attention_heads": 4, "model_type": "novel"})");
  const CommandResult result = cli.run({"render", "--model", config});
  CHECK(result.exit_code == 0);
  CHECK(contains(lines_of(result.err).front(),
                 "layout sequential, assumed: model_type novel is not known"));
}

TEST_CASE("--layout replaces a model's layout, by any of its names, and nothing is assumed") {
  const CommandLine cli;
  const std::string config = cli.folder.write("config.json", R"({"hidden_size": 64,
      "num_attention_heads": 4, "model_type": "novel"})");
  const auto rendered = [&](const std::string& layout) {
    const CommandResult result = cli.run({"render", "--model", config, "--variants",
                                          "positions=offset;alignment=2", "--layout", layout});
    CHECK(result.exit_code == 0);
    CHECK(result.err.empty());
    return result.out;
  };
  for (const std::string alias : {"gptj", "adjacent", "interleaved"}) {
    CHECK(contains(rendered(alias), "Layout kLayout() { return Layout::interleaved; }"));
  }
  for (const std::string alias : {"neox", "rotate_half", "half", "sequential"}) {
    CHECK(contains(rendered(alias), "Layout kLayout() { return Layout::sequential; }"));
  }
  CHECK(refused(cli, {"render", "--model", config, "--layout", "nexo"}) ==
        "ropejit: --layout = nexo: must be interleaved or sequential; nearest known: neox");
  CHECK(refused(cli, {"render", "--model", config, "--layout", "gptj", "--variants",
                      "layout=sequential"}) ==
        "ropejit: --layout = gptj: contradicts --variants = layout=sequential");
  CHECK(refused(cli, {"render", "--spec", cli.spec(kSmallSpec), "--layout", "gptj"}) ==
        "ropejit: --layout: is for --model; a spec file names its own layout");
}

TEST_CASE("a model's folder stands for the config.json in it") {
  const CommandLine cli;
  const std::string file = model_path("llama-3-8b");
  const std::string folder = std::filesystem::path(file).parent_path().string();
  const CommandResult result = cli.run({"render", "--model", folder});
  CHECK(result.exit_code == 0);
  CHECK(result.out == cli.run({"render", "--model", file}).out);
}

TEST_CASE("a result that cannot be written is a failure that is said") {
  CommandLine cli;
  const std::vector<std::string> arguments = {"render", "--spec", cli.spec(kSmallSpec)};
  cli.out = Stream::full_device;
  const CommandResult full = cli.run(arguments);
  CHECK(full.exit_code == 3);
  CHECK(last_line(full.err) == "ropejit: cannot write to stdout: No space left on device");
  cli.out = Stream::closed;
  const CommandResult closed = cli.run(arguments);
  CHECK(closed.exit_code == 3);
  CHECK(last_line(closed.err) == "ropejit: cannot write to stdout: Bad file descriptor");
}

TEST_CASE("a reader that leaves ends the tool without a word") {
  CommandLine cli;
  cli.out = Stream::pipe_without_reader;
  const CommandResult result =
      cli.run({"render", "--spec", cli.spec(kSmallSpec), "--out", (cli.folder / "out").string()});
  CHECK(result.signal == SIGPIPE);
  CHECK(result.err.empty());
}

TEST_CASE("help that cannot be written is a failure as well") {
  CommandLine cli;
  cli.out = Stream::full_device;
  const CommandResult result = cli.run({"--help"});
  CHECK(result.exit_code == 3);
  CHECK(result.err == "ropejit: cannot write to stdout\n");
}

TEST_CASE("a closed stdout is not left for the next file that is opened") {
  CommandLine cli;
  cli.out = Stream::closed;
  // Its place holds an empty file: no spec, but not missing either.
  const std::string error = refused(cli, {"render", "--spec", "/proc/self/fd/1"});
  CHECK(contains(error, "/proc/self/fd/1: malformed JSON"));
}

TEST_CASE("a closed stderr changes no exit code") {
  CommandLine cli;
  cli.err = Stream::closed;
  CHECK(cli.run({"prewrm"}).exit_code == 2);
  CHECK(cli.run({"--version"}).exit_code == 0);
}

}  // namespace ropejit
