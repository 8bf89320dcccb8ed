#include "tools/start_timing.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "src/compiler.h"
#include "src/kernel_plan.h"
#include "tests/refusal.h"
#include "tests/stub_fixture.h"
#include "tests/temporary_folder.h"

namespace ropejit {
namespace {

bool no_nvrtc() {
  return refusal([] { Compiler(""); }) != "accepted";
}

RopeSpec small_spec() {
  RopeSpec spec;
  spec.head_dim = spec.rotary_dim = 64;
  spec.q_heads = 2;
  spec.kv_heads = 1;
  return spec;
}

TEST_CASE_FIXTURE(StubFixture, "a warm start takes its kernels from disk and never opens NVRTC" *
                                   doctest::skip(no_nvrtc())) {
  const TemporaryFolder folder;
  const ScopedVariable temporary("TMPDIR", (folder / "").string());
  RuntimeOptions options;
  options.cuda_library = ROPEJIT_STUB_CUDA;
  const StartTiming timing =
      measure_start(small_spec(), default_frequencies(64, 10000.0L), 0, options);
  CHECK(timing.cold.nvrtc_opened);
  const std::size_t kernels =
      plan_kernels(small_spec(), heuristic_configs(small_spec())).kernels.size();
  CHECK(timing.cold.compiles == kernels);
  CHECK(timing.cold.disk_hits == 0);
  CHECK_FALSE(timing.warm.nvrtc_opened);
  CHECK(timing.warm.compiles == 0);
  CHECK(timing.warm.disk_hits == kernels);
  CHECK(timing.warm_ms > 0);
  CHECK(timing.cold_ms > timing.warm_ms);
  CHECK(std::filesystem::is_empty(folder / ""));
}

TEST_CASE("without libcuda there is nothing to measure") {
  RuntimeOptions options;
  options.cuda_library = "/no/such/libcuda.so";
  const std::string text =
      refusal([&] { measure_start(small_spec(), default_frequencies(64, 10000.0L), 0, options); });
  CHECK(text.find("driver: ") == 0);
  CHECK(text.find("/no/such/libcuda.so") != std::string::npos);
}

}  // namespace
}  // namespace ropejit
