// What a Runtime takes from its surroundings: which device, which libraries, which variables.

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "ropejit/reference.h"
#include "tests/runtime_fixture.h"

namespace ropejit {
namespace {

constexpr int kNoDevice = 100;  // a CUresult, from CUDA's documentation

}  // namespace

TEST_CASE("a bad spec, bad frequencies or a device that is not there is refused by name") {
  RuntimeFixture f;
  Runtime runtime(f.options);
  RopeSpec odd = f.spec;
  odd.head_dim = 7;
  CHECK(refusal([&] {
          runtime.rope(odd, frequencies_of(f.spec));
        }).starts_with("invalid_argument: head_dim = 7"));
  CHECK(refusal([&] {
          runtime.rope(f.spec, Frequencies{});
        }).starts_with("invalid_argument: frequencies.turns has 0 values"));
  CHECK(f.cuda.calls.empty());
  CHECK(refusal([&] {
          runtime.rope(f.spec, frequencies_of(f.spec), 1);
        }).starts_with("invalid_argument: device: 1"));
}

TEST_CASE("without libcuda, and without a device, rope() is an error that says so") {
  RuntimeFixture f;
  f.cuda.device_count = 0;
  Runtime without_device(f.options);
  CHECK(refusal([&] { f.resolve(without_device); }) == "driver: " ROPEJIT_STUB_CUDA
                                                       ": the driver sees no device");
  f.options.cuda_library = "/no/such/libcuda.so.1";
  Runtime without_library(f.options);
  const std::string error = refusal([&] { f.resolve(without_library); });
  CHECK(error.starts_with("driver: "));
  CHECK(contains(error, "/no/such/libcuda.so.1"));
}

TEST_CASE("with the fallback, a machine without driver or device gets a Rope on the CPU") {
  RuntimeFixture f;
  f.options.cpu_fallback = true;
  std::string reason;
  SUBCASE("no libcuda") { reason = f.options.cuda_library = "/no/such/libcuda.so.1"; }
  SUBCASE("cuInit finds no device") {
    f.cuda.fail("cuInit", kNoDevice);
    reason = "CUDA_ERROR_NO_DEVICE";
  }
  SUBCASE("cuInit works, but there is no device") {
    f.cuda.device_count = 0;
    reason = "the driver sees no device";
  }
  Runtime runtime(f.options);
  CHECK(f.resolve(runtime).device() == kCpuDevice);
  REQUIRE(f.log.lines().size() == 1);
  CHECK(f.log.lines()[0].starts_with("no usable GPU, computing on the CPU: "));
  CHECK(contains(f.log.lines()[0], reason));
  CHECK(!contains(f.log.lines()[0], "\n"));
  CHECK(text_of(runtime.stats()).empty());
}

TEST_CASE("a device below the CPU's number is refused before anything is opened") {
  RuntimeFixture f;
  Runtime runtime(f.options);
  CHECK(refusal([&] { runtime.rope(small_spec(), default_frequencies(64, 1e4L), -2); }) ==
        "invalid_argument: device = -2: must be an ordinal from 0, or kCpuDevice (-1)");
  CHECK(f.cuda.calls.empty());
}

TEST_CASE("the fallback is for missing devices only: another ordinal is still an error") {
  RuntimeFixture f;
  f.options.cpu_fallback = true;
  Runtime runtime(f.options);
  CHECK(refusal([&] {
          runtime.rope(f.spec, frequencies_of(f.spec), 3);
        }).starts_with("invalid_argument: device: 3"));
  CHECK(f.log.lines().empty());
}

TEST_CASE("on kCpuDevice apply computes as apply_reference, and needs no driver") {
  RuntimeFixture f;
  f.options.cuda_library = "/no/such/libcuda.so.1";
  RopeSpec spec = f.spec;
  spec.dtype = Dtype::float32;
  Runtime runtime(f.options);
  const Rope rope = runtime.rope(spec, frequencies_of(spec), kCpuDevice);
  std::vector<float> q(2 * 64, 1.5f), out(q.size()), expected(q.size());
  RopeArgs args = one_token(q.data());
  args.offset = 77;
  args.q_out.data = expected.data();
  apply_reference(spec, frequencies_of(spec), args);
  args.q_out.data = out.data();
  rope.apply(args);
  CHECK(out == expected);
  CHECK(out != q);
  CHECK(rope.device() == kCpuDevice);
  CHECK(f.log.lines().empty());
}

TEST_CASE("options that do not come from the environment name no tuned file") {
  const RuntimeOptions options;
  CHECK(options.tuned_file.empty());
  CHECK(options.default_tuned_file.empty());
  CHECK(options.system_tuned_file.empty());
}

TEST_CASE("the environment is read into options, ropejit's own variables first") {
  const ScopedVariable own("ROPEJIT_CACHE_DIR", "/own"), xdg("XDG_CACHE_HOME", "/xdg");
  const ScopedVariable home("HOME", "/home/somebody"), nvrtc("ROPEJIT_NVRTC", "/a/libnvrtc.so");
  const ScopedVariable cuda("ROPEJIT_CUDA", "/a/libcuda.so"), off("ROPEJIT_NO_COMPILE", "1");
  const ScopedVariable cpu("ROPEJIT_CPU_FALLBACK", "1");
  const ScopedVariable tuned("ROPEJIT_TUNED", "/a/tuned.json"), config("XDG_CONFIG_HOME", "/conf");
  const RuntimeOptions all = RuntimeOptions::from_environment();
  CHECK(all.tuned_file == "/a/tuned.json");
  CHECK(all.default_tuned_file == "/conf/ropejit/tuned.json");
  CHECK(all.system_tuned_file == "/etc/ropejit/tuned.json");
  CHECK(all.cache_dir == "/own");
  CHECK(all.nvrtc_library == "/a/libnvrtc.so");
  CHECK(all.cuda_library == "/a/libcuda.so");
  CHECK(!all.allow_compile);
  CHECK(all.cpu_fallback);

  const ScopedVariable no_own("ROPEJIT_CACHE_DIR", ""), on("ROPEJIT_NO_COMPILE", "0");
  const ScopedVariable no_cpu("ROPEJIT_CPU_FALLBACK", std::nullopt);
  const RuntimeOptions some = RuntimeOptions::from_environment();
  CHECK(some.cache_dir == "/xdg/ropejit");
  CHECK(some.allow_compile);
  CHECK(!some.cpu_fallback);
  const ScopedVariable no_xdg("XDG_CACHE_HOME", std::nullopt);
  const ScopedVariable no_tuned("ROPEJIT_TUNED", std::nullopt), no_config("XDG_CONFIG_HOME", "");
  CHECK(RuntimeOptions::from_environment().tuned_file.empty());
  CHECK(RuntimeOptions::from_environment().default_tuned_file ==
        "/home/somebody/.config/ropejit/tuned.json");
  CHECK(RuntimeOptions::from_environment().cache_dir == "/home/somebody/.cache/ropejit");
  const ScopedVariable no_home("HOME", std::nullopt);
  CHECK(RuntimeOptions::from_environment().cache_dir.empty());
  CHECK(RuntimeOptions::from_environment().default_tuned_file.empty());
}

}  // namespace ropejit
