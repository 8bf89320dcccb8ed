#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "src/compiler.h"
#include "src/source.h"
#include "src/text.h"
#include "tests/command_line.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

/// A spec with one kernel: one element's alignment is all that it promises.
constexpr const char* kNarrowSpec =
    R"({"head_dim": 16, "q_heads": 2, "kv_heads": 1, "alignment": 2})";

std::string nvrtc_library() {
  const char* library = std::getenv("ROPEJIT_NVRTC");
  return library == nullptr ? "" : library;
}

/// Throws what the compiler says unless the source compiles.
std::size_t cubin_bytes(const Compiler& compiler, const std::string& source) {
  return compiler.compile(source, "rope.cu", "sm_90", compile_options()).size();
}

/// Writes llama-3-8b's kernels and returns the paths that were printed.
std::vector<std::string> render_llama(const CommandLine& cli, const std::string& out) {
  const CommandResult result =
      cli.run({"render", "--model", model_path("llama-3-8b"), "--out", out});
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  return lines_of(result.out);
}

}  // namespace

TEST_CASE("a single kernel is printed without comment, and compiles") {
  const CommandLine cli;
  const CommandResult result = cli.run({"render", "--spec", cli.spec(kNarrowSpec)});
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  const RopeSpec spec{.head_dim = 16, .q_heads = 2, .kv_heads = 1, .alignment = 2};
  CHECK(result.out == render(kernel_specs(spec).front(), LaunchConfig{}).text);
  CHECK(cubin_bytes(Compiler(nvrtc_library()), result.out) > 1000);
}

TEST_CASE("of several kernels the first is printed, and stderr says so") {
  const CommandLine cli;
  const CommandResult result = cli.run({"render", "--model", model_path("llama-3-8b")});
  CHECK(result.exit_code == 0);
  CHECK(result.err ==
        "ropejit: printing the first of 10 kernels, d128 r128 bfloat16 sequential q32 kv8 offset "
        "exact forward a16; --out writes them all\n");
  CHECK(contains(result.out,
                 "ROPE_CONSTANT PositionMode kPositions() { return PositionMode::offset; }"));
  CHECK_FALSE(contains(result.out, "#include"));
}

TEST_CASE("--out writes a file per kernel, with a name of its own, and every one compiles") {
  const CommandLine cli;
  const std::string out = (cli.folder / "a/b").string();
  const std::vector<std::string> paths = render_llama(cli, out);
  CHECK(paths.front() ==
        out + "/rope_d128_r128_bfloat16_sequential_q32_kv8_offset_exact_forward_a16.cu");
  CHECK(std::set(paths.begin(), paths.end()).size() == 10);
  CHECK(std::distance(fs::directory_iterator(out), fs::directory_iterator()) == 10);
  const Compiler compiler(nvrtc_library());
  for (const std::string& path : paths) CHECK(cubin_bytes(compiler, read_text(path)) > 1000);
}

TEST_CASE("nvcc compiles a rendered file" *
          doctest::skip(std::system("nvcc --version >/dev/null 2>&1") != 0)) {
  const CommandLine cli;
  const std::string source = render_llama(cli, (cli.folder / "out").string()).front();
  const std::string cubin = (cli.folder / "rope.cubin").string();
  const std::string command = "nvcc -cubin -arch=sm_90 -o " + cubin + " " + source;
  CHECK(std::system(command.c_str()) == 0);
  CHECK(fs::file_size(cubin) > 1000);
}

TEST_CASE("a folder that cannot be written is named") {
  const CommandLine cli;
  const std::string out = cli.folder.write("file", "not a folder") + "/out";
  const CommandResult result = cli.run({"render", "--spec", cli.spec(kNarrowSpec), "--out", out});
  CHECK(result.exit_code == 3);
  CHECK(result.err == "ropejit: --out: cannot create folder " + out + ": Not a directory\n");
  CHECK(result.out.empty());
  CHECK(cli.run({"render", "--spec", cli.spec(kNarrowSpec), "--out", ""}).exit_code == 2);
}

TEST_CASE("a file that cannot be written is named") {
  const CommandLine cli;
  const std::string name = "rope_d16_r16_bfloat16_sequential_q2_kv1_offset_exact_forward_a2.cu";
  fs::create_directories(cli.folder / "out" / name);
  const std::string out = (cli.folder / "out").string();
  const CommandResult result = cli.run({"render", "--spec", cli.spec(kNarrowSpec), "--out", out});
  CHECK(result.exit_code == 3);
  CHECK(result.err == "ropejit: --out: cannot write " + out + "/" + name + ": Is a directory\n");
}

}  // namespace ropejit
