// Runtime::explain, and that a Rope does what it says.

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/runtime_fixture.h"
#include "tests/tuning_fixture.h"

namespace ropejit {
namespace {

constexpr LaunchConfig kFew{64, 16, Pairing::registers, 1, false};
constexpr LaunchConfig kMany{256, 16, Pairing::registers, 1, false};  // the same kernel
constexpr LaunchConfig kMost{512, 16, Pairing::registers, 2, false};

/// A Runtime with a tuned file for the stub's device.
struct ExplainFixture : RuntimeFixture {
  ExplainFixture() {
    options.tuned_file = temporary.write(
        "tuned.json",
        to_json(file_of({run_on(
            kStubClass, {entry(spec, 1, kFew), entry(spec, 8, kMany), entry(spec, 64, kMost)})})));
  }
  /// Puts entries for the kernels of the tuned configs into the folder.
  void put_tuned_entries() const {
    const TuningTable table({{"file", load_tuning_file(options.tuned_file)}}, {});
    for (const auto& [kernel_spec, config] : table.plan(spec, kStubClass).kernels) {
      const Key key = Builder::key_of({kernel_spec, config, "sm_90"});
      REQUIRE(!CubinCache(folder).put({key, "made by a test", "sm_90", "NVRTC 1.0", loadable()}));
    }
  }
};

}  // namespace

TEST_CASE("explain says the config, and where it is from, for a device and for its class") {
  ExplainFixture f;
  Runtime runtime(f.options);
  for (const ConfigChoice& choice :
       {runtime.explain(f.spec, 0, 7), runtime.explain(f.spec, kStubClass, 7)}) {
    CHECK(choice.config == kMany);
    CHECK(choice.match == Match::exact);
    CHECK(choice.file == f.options.tuned_file);
    CHECK(choice.why == "measured for this spec at 8 tokens on this class of devices");
  }
  CHECK(runtime.explain(f.spec, kOther, 7).match == Match::heuristic);
}

TEST_CASE("a class of devices needs no driver, a device does") {
  ExplainFixture f;
  f.options.cuda_library = "/no/such/libcuda.so.1";
  Runtime runtime(f.options);
  CHECK(runtime.explain(f.spec, kStubClass, 1).config == kFew);
  CHECK(refusal([&] { runtime.explain(f.spec, 0, 1); }).starts_with("driver: "));
  CHECK(f.cuda.calls.empty());
}

TEST_CASE("a bad spec, no tokens, and the CPU are refused by name") {
  ExplainFixture f;
  Runtime runtime(f.options);
  RopeSpec odd = f.spec;
  odd.head_dim = 7;
  CHECK(refusal([&] {
          runtime.explain(odd, kStubClass, 1);
        }).starts_with("invalid_argument: head_dim = 7"));
  CHECK(refusal([&] { runtime.explain(f.spec, kStubClass, 0); }) ==
        "invalid_argument: tokens = 0: must be at least 1");
  CHECK(refusal([&] { runtime.explain(f.spec, kCpuDevice, 1); }) ==
        "invalid_argument: device = -1: must be an ordinal from 0; the CPU takes no config");
}

TEST_CASE("calls are launched as explain says, whatever their token count") {
  ExplainFixture f;
  f.put_tuned_entries();
  Runtime runtime(f.options);
  const Rope rope = f.resolve(runtime);
  std::vector<char> memory(10000 * 256);
  for (const std::int64_t tokens : {1, 2, 3, 5, 8, 9, 33, 64, 100, 10000}) {
    CAPTURE(tokens);
    RopeArgs args = one_token(memory.data());
    args.seq = tokens;
    rope.apply(args);
    const LaunchConfig config = runtime.explain(f.spec, 0, tokens).config;
    CHECK(f.cuda.launches.back().block[0] == static_cast<unsigned>(config.block_threads));
    // A head of 64 elements of two bytes is four pairs of accesses of 16; two heads.
    const auto slots = static_cast<unsigned>(tokens) * 4 * (2 / config.heads_per_thread);
    CHECK(f.cuda.launches.back().grid[0] ==
          (slots + config.block_threads - 1) / config.block_threads);
  }
  CHECK(text_of(runtime.stats()) == "disk_hits 3");
}

TEST_CASE("a kernel is loaded once, however many token counts it is for") {
  ExplainFixture f;
  f.put_tuned_entries();
  Runtime runtime(f.options);
  const Rope first = f.resolve(runtime);
  CHECK(f.cuda.calls["cuLibraryLoadData"] == 3);  // kFew and kMany, kMost, the narrow one
  const Rope second = f.resolve(runtime);
  CHECK(f.cuda.calls["cuLibraryLoadData"] == 3);
  CHECK(text_of(runtime.stats()) == "memory_hits 3, disk_hits 3");
}

TEST_CASE("a config of the caller's goes before the tuned files, which are not even read") {
  ExplainFixture f;
  f.options.tuned_file = "/no/such/tuned.json";
  BucketConfigs configs;
  configs.fill(kMost);
  for (const auto& [kernel_spec, config] : plan_kernels(f.spec, configs).kernels) {
    const Key key = Builder::key_of({kernel_spec, config, "sm_90"});
    REQUIRE(!CubinCache(f.folder).put({key, "made by a test", "sm_90", "NVRTC 1.0", loadable()}));
  }
  Runtime runtime(f.options);
  const Rope rope = runtime.rope(f.spec, frequencies_of(f.spec), 0, kMost);
  char token[256] = {};
  rope.apply(one_token(token));
  CHECK(f.cuda.launches.at(0).block[0] == 512);
}

TEST_CASE("a poisoned file never makes a bad launch") {
  ExplainFixture f;
  std::vector<TuningEntry> poisoned;
  std::int64_t tokens = 1;
  for (const int value : {-1, 0, 1, 3, 31, 1024, 2147483647}) {
    poisoned.push_back(entry(f.spec, tokens, {value, 16, Pairing::registers, 1, false}));
    poisoned.push_back(entry(f.spec, tokens * 2, {128, value, Pairing::exchange, 1, false}));
    poisoned.push_back(entry(f.spec, tokens * 4, {128, 16, Pairing::registers, value, false}));
    tokens *= 8;
  }
  poisoned.erase(std::remove_if(poisoned.begin(), poisoned.end(),
                                [](const TuningEntry& entry) {
                                  return entry.chosen.config.heads_per_thread == 1 &&
                                         entry.chosen.config.block_threads == 128 &&
                                         entry.chosen.config.access_bytes == 16;
                                }),
                 poisoned.end());  // one head per thread is sound
  f.temporary.write("tuned.json", to_json(file_of({run_on(kStubClass, poisoned)})));
  put_entries(f.folder, f.spec, loadable());
  Runtime runtime(f.options);
  const Rope rope = f.resolve(runtime);
  CHECK(text_of(runtime.stats()) == fmt::format("disk_hits {}", f.kernels));  // the heuristic's
  for (int bucket = 0; bucket < kTokenBuckets; ++bucket) {
    CHECK(runtime.explain(f.spec, 0, bucket_tokens(bucket)).match == Match::heuristic);
  }
  char token[256] = {};
  rope.apply(one_token(token));
  CHECK(f.cuda.launches.size() == 1);
}

}  // namespace ropejit
