// The verb on recordings of a made-up device (tests/simulated_device.h), and on the stub of
// libcuda, whose kernels compute nothing.

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "src/text.h"
#include "src/tuning_file.h"
#include "tests/command_line.h"
#include "tests/simulated_device.h"
#include "tools/tune_record.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

Recording recorded(int shapes = 2, const std::vector<std::int64_t>& tokens = {1, 256}) {
  SearchOptions options;
  options.measurements = 100;
  return simulated_recording(shapes, tokens, options);
}

struct TuneLine : CommandLine {
  CommandResult tune(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"tune"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  CommandResult replay(const Recording& recording,
                       const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"--replay",
                                          folder.write("replay.json", to_json(recording))};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return tune(arguments);
  }
  /// The only line on stderr, of a command line that is refused.
  std::string refused(const std::vector<std::string>& more) const {
    const CommandResult result = tune(more);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK(lines_of(result.err).size() == 1);
    return last_line(result.err);
  }
  std::string path(const std::string& name) const { return (folder / name).string(); }
};

std::vector<std::int64_t> tokens_in(const TuningFile& file) {
  std::vector<std::int64_t> tokens;
  for (const TuningRun& run : file.runs) {
    for (const TuningEntry& entry : run.entries) tokens.push_back(entry.tokens);
  }
  return tokens;
}

}  // namespace

TEST_CASE("a replay tunes all that was recorded, a line each, and writes nothing unasked") {
  const TuneLine cli;
  const CommandResult result = cli.replay(recorded());
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  const std::vector<std::string> lines = lines_of(result.out);
  REQUIRE(lines.size() == 6);
  CHECK(lines[0].starts_with(
      "[1/4] d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16, 1 tokens  "));
  CHECK(contains(lines[0], " us  "));
  CHECK(contains(lines[0], " threads, "));
  CHECK(contains(lines[0], " configs in "));
  CHECK(lines[3].starts_with("[4/4] d128 r128 bfloat16 sequential q33 kv8 "));
  CHECK(lines[4].starts_with("faster than the defaults by "));
  CHECK(lines[5].starts_with("tuned 4, default "));
  CHECK(lines[5].ends_with(", rejected 0, left out 0"));
  CHECK_FALSE(fs::exists(cli.folder / "config"));
}

TEST_CASE("the tuned file has an entry per cell, and keeps what it has of others") {
  const TuneLine cli;
  const std::string out = cli.path("a/tuned.json");
  const CommandResult first = cli.replay(recorded(1, {1, 256, 4096}), {"--out", out});
  CHECK(first.exit_code == 0);
  CHECK(contains(first.out, "\nwritten to " + out + "\n"));
  const TuningFile file = load_tuning_file(out);
  CHECK(tokens_in(file) == std::vector<std::int64_t>{1, 256, 4096});
  CHECK(file.runs[0].device_class == kSimulatedClass);
  CHECK(file.runs[0].provenance.device == "Made-up device");
  CHECK_FALSE(fs::exists(out + ".checkpoint"));
  const CommandResult second =
      cli.replay(recorded(1, {1, 256, 4096}), {"--out", out, "--tokens", "256", "--seed", "2"});
  CHECK(second.exit_code == 0);
  CHECK(tokens_in(load_tuning_file(out)) == std::vector<std::int64_t>{1, 4096, 256});
}

TEST_CASE("specs and models name what is taken of a recording, positions standing for all") {
  const TuneLine cli;
  Recording recording = recorded(1, {1, 256});
  const std::string model = R"({"model_type": "llama", "hidden_size": 4096, "head_dim": 128,
      "num_attention_heads": 32, "num_key_value_heads": 8, "torch_dtype": "bfloat16"})";
  const std::string path = cli.folder.write("config.json", model);
  const CommandResult result = cli.replay(recording, {"--model", path, "--tokens", "1,256"});
  CHECK(result.exit_code == 0);
  CHECK(last_line(result.out).starts_with("tuned 2, "));
  const CommandResult missing = cli.replay(recording, {"--model", path});
  CHECK(missing.exit_code == 2);
  CHECK(last_line(missing.err).ends_with(", 8 tokens: not in the recording"));
}

TEST_CASE("the same seed chooses the same") {
  const TuneLine cli;
  const Recording recording = recorded();
  std::vector<TuningFile> files;
  for (const std::string name : {"a", "b"}) {
    const std::string out = cli.path(name);
    REQUIRE(cli.replay(recording, {"--out", out, "--measurements", "40"}).exit_code == 0);
    files.push_back(load_tuning_file(out));
  }
  CHECK(files[0].runs[0].entries == files[1].runs[0].entries);
}

TEST_CASE("what was measured is recorded, and can be replayed and exported") {
  const TuneLine cli;
  const CommandResult result =
      cli.replay(recorded(), {"--record", cli.path("again.json"), "--export-t4",
                              cli.path("t4.json"), "--export-cache", cli.path("cache.json")});
  CHECK(result.exit_code == 0);
  const Recording again = load_recording(cli.path("again.json"));
  CHECK(again.cells.size() == 4);
  CHECK(cli.replay(again).exit_code == 0);
  const auto t4 = nlohmann::json::parse(read_text(cli.path("t4.json")));
  CHECK(t4["results"].size() > 40);
  int caches = 0;
  for (const auto& item : fs::directory_iterator(cli.folder / ".")) {
    if (item.path().filename().string().starts_with("cache-d128")) ++caches;
  }
  CHECK(caches == 4);
}

TEST_CASE("a config that was rejected is named once per spec, and counts as a failure") {
  const TuneLine cli;
  Recording recording = recorded(1, {1, 256});
  for (CellRecord& cell : recording.cells) {
    Candidate& candidate = cell.candidates.emplace_back();
    candidate.config = {512, 4, Pairing::registers, 1};
    candidate.vetting = {Verdict::correctness, "q_out[0,0,0,1] is wrong\nmore", 1, 1};
    std::erase_if(cell.candidates, [&](const Candidate& other) {
      return other.config == candidate.config && !other.rounds.empty();
    });
  }
  const CommandResult result = cli.replay(recording, {"--exhaustive"});
  CHECK(result.exit_code == 1);
  CHECK(result.err ==
        "ropejit: rejected for d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16: 512 "
        "threads, 4 bytes, registers, 1 head: correctness: q_out[0,0,0,1] is wrong\n");
  CHECK(last_line(result.out).ends_with(", rejected 1, left out 0"));
}

TEST_CASE("on a terminal one line is redrawn") {
  TuneLine cli;
  cli.err = Stream::terminal;
  cli.set("TERM", "xterm");
  const CommandResult result = cli.replay(recorded());
  CHECK(result.exit_code == 0);
  CHECK(lines_of(result.out).size() == 2);
  CHECK(result.err.starts_with("\r\033[K[=======                       ] 1/4  d128 r128"));
  CHECK(contains(result.err, "\r\033[K[==============================] 4/4  d128"));
  CHECK(result.err.ends_with("\r\033[K"));
}

TEST_CASE("an interrupted tuning leaves a checkpoint, and goes on from it to the same end") {
  std::vector<std::int64_t> tokens;
  for (int bucket = 0; bucket < 18; ++bucket) tokens.push_back(std::int64_t{1} << bucket);
  const Recording recording = recorded(6, tokens);
  TuneLine cli;
  const std::string whole = cli.path("whole.json");
  REQUIRE(cli.replay(recording, {"--out", whole}).exit_code == 0);

  const std::string out = cli.path("tuned.json");
  const std::string checkpoint = out + ".checkpoint";
  cli.meanwhile = [&](pid_t child) {
    std::error_code ignored;
    while (!fs::exists(checkpoint, ignored) || fs::file_size(checkpoint, ignored) < 20000) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ::kill(child, SIGINT);
  };
  const CommandResult interrupted = cli.replay(recording, {"--out", out});
  cli.meanwhile = nullptr;
  CHECK(interrupted.signal == SIGINT);
  CHECK(last_line(interrupted.err) == "ropejit: interrupted; what was measured is in " +
                                          checkpoint + ", and --resume goes on there");
  CHECK_FALSE(fs::exists(out));
  const std::size_t done = load_recording(checkpoint).cells.size();
  CHECK(done >= 1);
  CHECK(done < recording.cells.size());

  const CommandResult resumed = cli.replay(recording, {"--out", out, "--resume"});
  CHECK(resumed.exit_code == 0);
  CHECK(contains(lines_of(resumed.out).front(), "; from the checkpoint"));
  CHECK_FALSE(fs::exists(checkpoint));
  CHECK(load_tuning_file(out).runs[0].entries == load_tuning_file(whole).runs[0].entries);
}

TEST_CASE("a checkpoint of another device or version is refused, and none is no reason to stop") {
  const TuneLine cli;
  const std::string out = cli.path("tuned.json");
  CHECK(cli.replay(recorded(), {"--out", out, "--resume"}).exit_code == 0);
  Recording other = recorded();
  other.provenance.ropejit = "0.0.9 (old)";
  cli.folder.write("tuned.json.checkpoint", to_json(other));
  const CommandResult version = cli.replay(recorded(), {"--out", out, "--resume"});
  CHECK(version.exit_code == 2);
  CHECK(version.err == "ropejit: " + out +
                           ".checkpoint: ropejit = 0.0.9 (old): must be 0.1.0 (test), as here; "
                           "tune without --resume\n");
  other = recorded();
  other.device_class.sm_count = 100;
  cli.folder.write("tuned.json.checkpoint", to_json(other));
  CHECK(contains(cli.replay(recorded(), {"--out", out, "--resume"}).err,
                 "device_class = 9.0,100,62914560: must be 9.0,132,62914560, as here"));
  CHECK(cli.replay(recorded(), {"--out", out}).exit_code == 0);
}

TEST_CASE("two tuned files are compared bucket by bucket") {
  const TuneLine cli;
  const std::string a = cli.path("a.json");
  const std::string b = cli.path("b.json");
  REQUIRE(cli.replay(recorded(1, {1, 4096}), {"--out", a}).exit_code == 0);
  const CommandResult same = cli.tune({"--compare", a, a});
  CHECK(same.exit_code == 0);
  CHECK(same.out == "the same config in 22 of 22 buckets (100.0%) of 1 spec\n");
  TuningFile changed = load_tuning_file(a);
  changed.runs[0].entries[1].chosen.config = {512, 4, Pairing::registers, 1};
  save_tuning_file(b, changed);
  const CommandResult different = cli.tune({"--compare", a, b});
  CHECK(different.exit_code == 0);
  CHECK(contains(different.out, "up to 4096 tokens: "));
  CHECK(contains(different.out, " against 512 threads, 4 bytes, registers, 1 head\n"));
  CHECK(last_line(different.out).starts_with("the same config in "));
}

TEST_CASE("two tuned files are merged into a third") {
  const TuneLine cli;
  const std::string a = cli.path("a.json");
  const std::string b = cli.path("b.json");
  const std::string out = cli.path("out.json");
  REQUIRE(cli.replay(recorded(1, {1, 256}), {"--out", a}).exit_code == 0);
  REQUIRE(cli.replay(recorded(2, {256, 4096}), {"--out", b}).exit_code == 0);
  const CommandResult result = cli.tune({"--merge", a, b, "--out", out});
  CHECK(result.exit_code == 0);
  CHECK(last_line(result.out).starts_with("merged 5 entries of "));
  CHECK(load_tuning_file(out) == merge(load_tuning_file(a), load_tuning_file(b)));
  CHECK(cli.refused({"--merge", a, b}) == "ropejit: --merge: name the file to write with --out");
  CHECK(contains(cli.refused({"--merge", a, b, "--out", out, "--exhaustive"}), "excludes"));
  CHECK(contains(cli.refused({"--compare", a, b, "--out", out}), "excludes"));
  CHECK(contains(cli.refused({"--compare", a, cli.path("none.json")}), "none.json"));
}

TEST_CASE("a bad option is refused with its value and the rule") {
  const TuneLine cli;
  const std::string spec = cli.spec(kSmallSpec);
  CHECK(cli.refused({"--spec", spec, "--tokens", "1,3"}) ==
        "ropejit: --tokens = 1,3: 3 does not stand for a bucket; must be powers of two from 1 to "
        "2097152");
  CHECK(cli.refused({"--spec", spec, "--budget", "0"}) ==
        "ropejit: --budget = 0: must be above 0 and at most 3600 seconds");
  CHECK(cli.refused({"--spec", spec, "--measurements", "1"}) ==
        "ropejit: --measurements = 1: must be from 2 to 1000000");
  CHECK(cli.refused({"--spec", spec, "-j", "-2"}) ==
        "ropejit: -j = -2: must be positive, or 0 for one per core");
  CHECK(contains(cli.refused({"--replay", cli.path("none.json")}), "none.json: cannot be read"));
  CHECK(contains(cli.refused({"--replay", cli.folder.write("bad.json", "{}")}),
                 "bad.json: format: missing; a recording must have it"));
}

TEST_CASE("a tuned file that cannot be written is said before anything is measured") {
  const TuneLine cli;
  const std::string below = cli.folder.write("file", "not a folder") + "/tuned.json";
  const CommandResult result = cli.replay(recorded(), {"--out", below});
  CHECK(result.exit_code == 3);
  CHECK(result.out.empty());
  CHECK(contains(result.err, below + ".checkpoint: cannot create a file beside it"));
  const CommandResult damaged =
      cli.replay(recorded(), {"--out", cli.folder.write("tuned.json", "{")});
  CHECK(damaged.exit_code == 2);
  CHECK(damaged.out.empty());
}

TEST_CASE("without a GPU, or with compiling switched off, nothing is tuned") {
  TuneLine cli;
  const std::string spec = cli.spec(kSmallSpec);
  const CommandResult no_driver = cli.tune({"--spec", spec});
  CHECK(no_driver.exit_code == 3);
  CHECK(contains(no_driver.err, "cannot open the CUDA driver's library (libcuda)"));
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  cli.set("ROPEJIT_NO_COMPILE", "1");
  CHECK(cli.refused({"--spec", spec}) ==
        "ropejit: ROPEJIT_NO_COMPILE = 1: switches off what tuning needs; unset it");
  cli.set("ROPEJIT_NO_COMPILE", std::nullopt);
  cli.set("ROPEJIT_NVRTC", "/no/such/libnvrtc.so");
  CHECK(cli.tune({"--spec", spec}).exit_code == 3);
  cli.set("ROPEJIT_NVRTC", std::nullopt);
  CHECK(contains(cli.refused({"--spec", spec, "--device", "7"}), "device: 7 is out of range"));
}

TEST_CASE("a device that computes nothing has every config rejected, and no tuned file") {
  TuneLine cli;
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  const CommandResult result =
      cli.tune({"--spec", cli.spec(kSmallSpec), "--tokens", "1", "-j", "2"});
  CHECK(result.exit_code == 1);
  CHECK(contains(result.out, ", 1 tokens  no config could be measured\n"));
  CHECK(contains(result.err, ": correctness: "));
  CHECK(last_line(result.out).starts_with("tuned 0, default 0, rejected "));
  CHECK(last_line(result.out).ends_with(", left out 1"));
  CHECK_FALSE(fs::exists(cli.path("config/ropejit/tuned.json")));
  CHECK_FALSE(fs::exists(cli.cache_folder()));
}

TEST_CASE("the tuned file goes where Ropes look for it unless another is named") {
  TuneLine cli;
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  const std::string file = cli.folder.write("file", "not a folder");
  const std::vector<std::string> small = {"--spec", cli.spec(kSmallSpec), "--tokens", "1"};
  cli.set("XDG_CONFIG_HOME", file);
  CHECK(contains(cli.tune(small).err, file + "/ropejit/tuned.json.checkpoint: cannot create"));
  cli.set("ROPEJIT_TUNED", file + "/mine.json");
  CHECK(contains(cli.tune(small).err, file + "/mine.json.checkpoint: cannot create"));
  cli.set("ROPEJIT_TUNED", std::nullopt);
  cli.set("XDG_CONFIG_HOME", std::nullopt);
  cli.set("HOME", std::nullopt);
  const CommandResult nowhere = cli.tune(small);
  CHECK(nowhere.exit_code == 3);
  CHECK(contains(nowhere.err, "name a file with --out"));
}

}  // namespace ropejit
