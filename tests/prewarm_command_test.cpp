#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "ropejit/model.h"
#include "src/tuning_table.h"
#include "tests/command_line.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> prewarm(const CommandLine& cli, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"prewarm", "--spec", cli.spec(kSmallSpec)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// How many kernels a spec has on an architecture, without tuned files of the machine's.
std::size_t kernels_of(const RopeSpec& spec, const std::string& arch = "sm_90") {
  return TuningTable({}, shipped_tuning()).all_kernels(spec, arch).size();
}
std::size_t kernels_of(const std::string& json, const std::string& arch = "sm_90") {
  return kernels_of(parse_specs(json, "a test").front().spec, arch);
}

std::string summary(std::size_t compiled, std::size_t cached, std::size_t failed) {
  return fmt::format("compiled {}, cached {}, failed {}", compiled, cached, failed);
}

std::vector<fs::path> entries_in(const std::string& folder) {
  std::vector<fs::path> entries;
  for (const auto& item : fs::directory_iterator(folder)) entries.push_back(item.path());
  return entries;
}

}  // namespace

TEST_CASE("pre-warming twice compiles once, for every architecture that is named") {
  const CommandLine cli;
  const std::size_t all = kernels_of(kSmallSpec, "sm_80") + kernels_of(kSmallSpec, "sm_90");
  const CommandResult first = cli.run(prewarm(cli, {"--arch", "sm_80,sm_90"}));
  CHECK(first.exit_code == 0);
  CHECK(first.err.empty());
  CHECK(last_line(first.out) == summary(all, 0, 0));
  CHECK(entries_in(cli.cache_folder()).size() == all);
  const CommandResult second = cli.run(prewarm(cli, {"--arch", "sm_80", "--arch", "sm_90"}));
  CHECK(second.exit_code == 0);
  CHECK(last_line(second.out) == summary(0, all, 0));
}

TEST_CASE("without a terminal there is a line per kernel and no control character") {
  const CommandLine cli;
  const CommandResult result = cli.run(prewarm(cli, {"--arch", "sm_90", "-j", "1"}));
  const std::vector<std::string> lines = lines_of(result.out);
  const std::size_t all = kernels_of(kSmallSpec);
  REQUIRE(lines.size() == all + 2);
  CHECK(lines[0].starts_with(fmt::format(
      "[1/{}] compiled  sm_90   d16 r16 bfloat16 sequential q2 kv1 offset exact forward a16, ",
      all)));
  CHECK(lines[all - 1].starts_with(fmt::format("[{0}/{0}] compiled  sm_90   d16 r16 ", all)));
  CHECK(lines[all].starts_with(
      fmt::format("kernels for sm_90 in {}: {}, in ", cli.cache_folder(), all)));
  CHECK_FALSE(contains(result.out, "\r"));
}

TEST_CASE("on a terminal one line is redrawn and goes at the end") {
  CommandLine cli;
  cli.err = Stream::terminal;
  cli.set("TERM", "xterm");
  const CommandResult result = cli.run(prewarm(cli, {"--arch", "sm_90"}));
  CHECK(result.exit_code == 0);
  CHECK(lines_of(result.out).size() == 2);
  const std::size_t all = kernels_of(kSmallSpec);
  CHECK(last_line(result.out) == summary(all, 0, 0));
  CHECK(result.err.starts_with(
      fmt::format("\r\033[K[{:<30}] 1/{}  sm_90  d16", std::string(30 / all, '='), all)));
  CHECK(contains(result.err,
                 fmt::format("\r\033[K[==============================] {0}/{0}  sm_90  d16", all)));
  CHECK(result.err.ends_with("\r\033[K"));
  CHECK_FALSE(contains(result.err, "\n"));
}

TEST_CASE("the line that is redrawn never fills the terminal's last column") {
  CommandLine cli;
  cli.err = Stream::terminal;  // it does not say how wide it is: 80 columns
  cli.set("TERM", "xterm");
  const std::string shown = cli.run(prewarm(cli, {"--arch", "sm_90"})).err;
  const std::string erase = "\r\033[K";
  std::size_t longest = 0;
  for (std::size_t start = erase.size(); start < shown.size();) {
    const std::size_t end = shown.find(erase, start);
    REQUIRE(end != std::string::npos);
    longest = std::max(longest, end - start);
    start = end + erase.size();
  }
  CHECK(longest == 79);
}

TEST_CASE("a terminal that cannot redraw gets plain lines") {
  CommandLine cli;
  cli.err = Stream::terminal;
  cli.set("TERM", "dumb");
  const CommandResult result = cli.run(prewarm(cli, {"--arch", "sm_90"}));
  CHECK(result.err.empty());
  CHECK(lines_of(result.out).size() == kernels_of(kSmallSpec) + 2);
}

TEST_CASE("models and specs may be mixed, and what they share is built once") {
  const CommandLine cli;
  const std::string variants = "positions=offset";
  // The two models differ in their frequencies only, which are no part of a kernel.
  const CommandResult result = cli.run(
      prewarm(cli, {"--model", model_path("llama-3-8b"), "--model", model_path("mistral-7b-v0.3"),
                    "--variants", variants, "--arch", "sm_90"}));
  CHECK(result.exit_code == 0);
  const RopeSpec base = load_model(model_path("llama-3-8b")).spec;
  const std::size_t shared = kernels_of(expand_variants(base, variants).front());
  CHECK(last_line(result.out) == summary(shared + kernels_of(kSmallSpec), 0, 0));
}

TEST_CASE("the architecture defaults to that of device 0") {
  CommandLine cli;
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  const CommandResult result = cli.run(prewarm(cli, {}));
  CHECK(result.exit_code == 0);
  CHECK(contains(result.out, "kernels for sm_90 in "));
  CHECK(last_line(result.out) == summary(kernels_of(kSmallSpec), 0, 0));
}

TEST_CASE("without a GPU the architecture has to be named") {
  CommandLine cli;
  const CommandResult no_driver = cli.run(prewarm(cli, {}));
  CHECK(no_driver.exit_code == 2);
  CHECK(no_driver.err ==
        "ropejit: --arch: there is no GPU here to take it from (cannot open the CUDA driver's "
        "library (libcuda)); name one, such as sm_90\n");
  cli.set("ROPEJIT_CUDA", ROPEJIT_STUB_CUDA);
  cli.set("STUB_CUDA_FAIL", "cuInit=100");
  const CommandResult no_device = cli.run(prewarm(cli, {}));
  CHECK(no_device.exit_code == 2);
  CHECK(contains(no_device.err, "CUDA_ERROR_NO_DEVICE"));
}

TEST_CASE("an unknown architecture is refused with the known ones") {
  const CommandLine cli;
  for (const std::string arch : {"sm_12", "90", "", "sm_90,sm_9x"}) {
    CAPTURE(arch);
    const CommandResult result = cli.run(prewarm(cli, {"--arch", arch}));
    CHECK(result.exit_code == 2);
    CHECK(contains(result.err, "ropejit: arch: '"));
    CHECK(contains(result.err, "sm_80, "));
    CHECK(result.out.empty());
  }
}

TEST_CASE("the number of threads is 0, for one per core, or positive") {
  const CommandLine cli;
  const CommandResult negative = cli.run(prewarm(cli, {"--arch", "sm_90", "-j", "-1"}));
  CHECK(negative.exit_code == 2);
  CHECK(negative.err == "ropejit: -j = -1: must be positive, or 0 for one per core\n");
  CHECK(cli.run(prewarm(cli, {"--arch", "sm_90", "-j", "many"})).exit_code == 2);
  CHECK_FALSE(fs::exists(cli.cache_folder()));
  for (const std::string jobs : {"0", "1", "64"}) {
    CHECK(cli.run(prewarm(cli, {"--arch", "sm_90", "-j", jobs})).exit_code == 0);
  }
}

TEST_CASE("a cache folder that cannot be written is named before anything is compiled") {
  const CommandLine cli;
  const std::string folder = cli.folder.write("file", "not a folder") + "/cache";
  const CommandResult result = cli.run(prewarm(cli, {"--arch", "sm_90", "--cache-dir", folder}));
  CHECK(result.exit_code == 3);
  CHECK(result.err.starts_with("ropejit: cache folder " + folder + ": "));
  CHECK(result.out.empty());
}

TEST_CASE("--cache-dir goes before the environment, and must not be empty") {
  const CommandLine cli;
  const std::string other = (cli.folder / "other").string();
  CHECK(cli.run(prewarm(cli, {"--arch", "sm_90", "--cache-dir", other})).exit_code == 0);
  CHECK(entries_in(other).size() == kernels_of(kSmallSpec));
  CHECK_FALSE(fs::exists(cli.cache_folder()));
  const CommandResult empty = cli.run(prewarm(cli, {"--arch", "sm_90", "--cache-dir", ""}));
  CHECK(empty.exit_code == 2);
  CHECK(empty.err == "ropejit: --cache-dir = \"\": must name a folder\n");
}

TEST_CASE("where nothing names a cache folder, that is said") {
  CommandLine cli;
  cli.set("ROPEJIT_CACHE_DIR", std::nullopt);
  cli.set("HOME", std::nullopt);
  const CommandResult result = cli.run(prewarm(cli, {"--arch", "sm_90"}));
  CHECK(result.exit_code == 3);
  CHECK(contains(result.err, "name one with --cache-dir"));
}

TEST_CASE("without NVRTC the places that were tried are listed") {
  CommandLine cli;
  cli.set("ROPEJIT_NVRTC", "/no/such/libnvrtc.so");
  const CommandResult result = cli.run(prewarm(cli, {"--arch", "sm_90"}));
  CHECK(result.exit_code == 3);
  CHECK(contains(result.err, "tried:\n  /no/such/libnvrtc.so: "));
  CHECK(result.out.empty());
}

TEST_CASE("pre-warming with compiling switched off is refused") {
  CommandLine cli;
  cli.set("ROPEJIT_NO_COMPILE", "1");
  const CommandResult result = cli.run(prewarm(cli, {"--arch", "sm_90"}));
  CHECK(result.exit_code == 2);
  CHECK(contains(result.err, "ROPEJIT_NO_COMPILE = 1"));
}

TEST_CASE("a kernel that fails is told from the others, with its message") {
  const CommandLine cli;
  REQUIRE(cli.run(prewarm(cli, {"--arch", "sm_90"})).exit_code == 0);
  // A folder in an entry's place cannot be replaced by a file.
  const fs::path blocked = entries_in(cli.cache_folder()).front();
  fs::remove(blocked);
  fs::create_directories(blocked / "inhabited");
  const CommandResult result = cli.run(prewarm(cli, {"--arch", "sm_90"}));
  CHECK(result.exit_code == 1);
  CHECK(last_line(result.out) == summary(0, kernels_of(kSmallSpec) - 1, 1));
  CHECK(contains(result.err, "ropejit: failed: d16 r16 bfloat16 sequential q2 kv1 offset exact "));
  CHECK(contains(result.err, "does not hold it"));
}

}  // namespace ropejit
