#include "tools/host_kernel.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <optional>
#include <string>

#include "src/launch.h"
#include "src/text.h"
#include "tests/refusal.h"
#include "tests/temporary_folder.h"
#include "tools/case_positions.h"
#include "tools/verify.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

RopeSpec small_spec() {
  RopeSpec spec;
  spec.head_dim = spec.rotary_dim = 16;
  spec.q_heads = 2;
  spec.kv_heads = 1;
  return spec;
}

VerifyCase small_case() {
  VerifyCase test;
  test.spec = small_spec();
  test.frequencies = default_frequencies(16, 10000.0L);
  test.seq = 3;
  set_positions(test, 7);
  return test;
}

TEST_CASE("a kernel compiled for the host computes the exact result") {
  HostExecutor executor;
  const CaseResult result = run_case(small_case(), executor);
  CHECK(result.message == "");
}

TEST_CASE("a source that does not compile is refused with the log and the command") {
  const std::string text = refusal([] {
    HostKernel(find_host_compiler(), {"int unfinished = ;\n", "rope.cu", "ropejit_rope"});
  });
  CHECK(contains(text, "compile_failed: the C++ compiler cannot compile rope.cu"));
  CHECK(contains(text, "rope.cu:1:"));
  CHECK(contains(text, "error: expected"));
  CHECK(contains(text, "-ffp-contract=off"));
}

TEST_CASE("a compiler that gives no kernel is refused with the loader's words") {
  const std::string text = refusal([] {
    HostKernel(find_host_compiler(), {"int nothing = 0;\n", "rope.cu", "ropejit_rope"});
  });
  CHECK(contains(text, "compile_failed"));
  CHECK(contains(text, "ropejit_rope_on_host"));
}

TEST_CASE("without a compiler the error names what was tried") {
  const TemporaryFolder empty;
  const ScopedVariable path("PATH", (empty / "").string());
  {
    const ScopedVariable cxx("CXX", std::nullopt);
    CHECK(refusal([] { find_host_compiler(); }) ==
          "unsupported: no C++ compiler found: tried c++, g++, clang++; install g++ or set CXX");
  }
  const ScopedVariable cxx("CXX", "no-such-compiler -O3");
  CHECK(refusal([] { find_host_compiler(); }) ==
        "unsupported: no C++ compiler found: tried no-such-compiler (from $CXX); install g++ or "
        "set CXX");
}

TEST_CASE("CXX may hold a compiler with arguments") {
  const ScopedVariable cxx("CXX", "env  g++ -g0");
  CHECK(find_host_compiler().command == std::vector<std::string>{"env", "g++", "-g0"});
  HostExecutor executor;
  CHECK(run_case(small_case(), executor).passed);
}

TEST_CASE("CXX never reaches a shell") {
  const TemporaryFolder folder;
  const std::string trap = (folder / "trap").string();
  const ScopedVariable cxx("CXX", "g++ $(touch " + trap + ") ;touch " + trap);
  HostExecutor executor;
  CHECK_THROWS_AS(run_case(small_case(), executor), Error);
  CHECK_FALSE(fs::exists(trap));
}

TEST_CASE("nothing is left in the temporary folder, whether compiling works or not") {
  const TemporaryFolder folder;
  const ScopedVariable temporary("TMPDIR", (folder / "").string());
  HostExecutor executor;
  CHECK(run_case(small_case(), executor).passed);
  CHECK_THROWS_AS(HostKernel(find_host_compiler(), {"?", "rope.cu", "ropejit_rope"}), Error);
  CHECK(fs::is_empty(folder / ""));
}

TEST_CASE("a temporary folder that cannot be made is an error that names it") {
  const ScopedVariable temporary("TMPDIR", "/proc");
  const std::string text = refusal([] {
    HostExecutor executor;
    run_case(small_case(), executor);
  });
  CHECK(contains(text, "io: cannot create a temporary folder /proc/ropejit-"));
}

TEST_CASE("an executor compiles every kernel once") {
  const TemporaryFolder folder;
  const std::string log = (folder / "calls").string();
  const std::string compiler =
      folder.write("counting-compiler", "#!/bin/sh\necho call >>" + log + "\nexec c++ \"$@\"\n");
  fs::permissions(compiler, fs::perms::owner_all);
  const ScopedVariable cxx("CXX", compiler);
  HostExecutor executor;
  const SpecFile file{small_spec(), default_frequencies(16, 10000.0L)};
  CHECK(verify(std::span(&file, 1), executor).failed == 0);
  CHECK(verify(std::span(&file, 1), executor).failed == 0);
  CHECK(read_text(log) == "call\ncall\ncall\n");  // two wide kernels and the narrow one
}

TEST_CASE("accesses at addresses that are no multiple of their width are counted") {
  const RopeSpec spec = small_spec();
  const HostKernel kernel(find_host_compiler(), render(spec, LaunchConfig{}));
  VerifyCase test = small_case();
  const LaunchShape shape = launch_shape(spec, LaunchConfig{});
  for (const int base_offset : {0, 1, 8}) {
    test.base_offset = base_offset;
    CaseMemory memory = make_memory(test);
    const RopeArgs args = args_of(test, memory);
    Launch launch =
        plan_launch(spec, shape, args, check_args(spec, args), test.frequencies.turns.data(), 1.0f);
    // 3 tokens x 3 heads, one thread each, which loads and stores two runs of 8 elements, and reads
    // 8 frequencies, aligned.
    CHECK(kernel.run(launch.params, launch.grid, launch.block) == (base_offset == 1 ? 36 : 0));
  }
}

}  // namespace
}  // namespace ropejit
