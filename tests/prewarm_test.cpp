#include "src/prewarm.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/runtime_fixture.h"

namespace ropejit {
namespace {

using Status = PrewarmResult::Status;
const std::vector<std::string> kArch = {"sm_90"};

/// A Runtime without a driver, on a folder of its own.
struct PrewarmFixture {
  TemporaryFolder temporary;
  std::filesystem::path folder = temporary / "cache";
  Runtime make() const {
    RuntimeOptions options;
    options.cache_dir = folder.string();
    options.cuda_library = "/no/such/libcuda.so.1";
    return Runtime(options);
  }
  Runtime runtime = make();
};

int count(const std::vector<PrewarmResult>& results, Status status) {
  int matches = 0;
  for (const PrewarmResult& result : results) matches += result.status == status ? 1 : 0;
  return matches;
}

std::size_t files_in(const std::filesystem::path& folder) {
  std::size_t files = 0;
  if (!std::filesystem::exists(folder)) return 0;
  for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(folder)) ++files;
  return files;
}

}  // namespace

TEST_CASE("prewarm builds each distinct kernel once, by architecture and then by spec" *
          doctest::skip(no_nvrtc())) {
  PrewarmFixture f;
  RopeSpec same = small_spec(64);
  same.rotary_dim = 64;                // as good as none
  same.index_type = IndexType::int64;  // ignored by position mode offset
  const std::vector<RopeSpec> specs = {small_spec(64), small_spec(32), small_spec(64), same};
  const std::vector<std::string> archs = {"sm_90", "sm_80", "sm_90"};
  std::vector<std::string> expected;
  for (const char* arch : {"sm_90", "sm_80"}) {
    for (const int head_dim : {64, 32}) {
      for (const BuildRequest& request : requests_for(small_spec(head_dim), arch)) {
        expected.push_back(Builder::key_of(request).hex());
      }
    }
  }
  const std::vector<PrewarmResult> results = f.runtime.prewarm(specs, archs, 2);
  REQUIRE(results.size() == 8);
  for (std::size_t i = 0; i < results.size(); ++i) {
    CHECK(results[i].key == expected[i]);
    CHECK(results[i].arch == (i < 4 ? "sm_90" : "sm_80"));
    CHECK(results[i].kernel == describe(kernel_specs(small_spec(i % 4 < 2 ? 64 : 32))[i % 2]));
    CHECK(results[i].status == Status::compiled);
    CHECK(results[i].message.empty());
    CHECK(results[i].milliseconds > 0);
  }
  CHECK(files_in(f.folder) == 8);
  CHECK(text_of(f.runtime.stats()) == "misses 8, compiles 8, NVRTC");

  Runtime second = f.make();
  CHECK(count(second.prewarm(specs, archs, 2), Status::cached) == 8);
  CHECK(text_of(second.stats()) == "disk_hits 8, NVRTC");
}

TEST_CASE("progress counts from one to all, a result at a time" * doctest::skip(no_nvrtc())) {
  PrewarmFixture f;
  const std::vector<RopeSpec> specs = {small_spec(64), small_spec(32), small_spec(16)};
  std::vector<std::size_t> done;
  std::vector<std::string> keys;
  const auto results = f.runtime.prewarm(
      specs, kArch, 3, [&](std::size_t so_far, std::size_t total, const PrewarmResult& result) {
        done.push_back(so_far);
        keys.push_back(result.key);
        CHECK(total == 6);
        CHECK(result.status == Status::compiled);
      });
  CHECK(done == std::vector<std::size_t>{1, 2, 3, 4, 5, 6});
  std::vector<std::string> reported;
  for (const PrewarmResult& result : results) reported.push_back(result.key);
  std::sort(keys.begin(), keys.end());
  std::sort(reported.begin(), reported.end());
  CHECK(keys == reported);
}

TEST_CASE("an exception of the progress callback ends prewarm and reaches the caller" *
          doctest::skip(no_nvrtc())) {
  PrewarmFixture f;
  const std::vector<RopeSpec> specs = {small_spec(64), small_spec(32), small_spec(16),
                                       small_spec(8)};
  const auto stop = [](std::size_t done, std::size_t, const PrewarmResult&) {
    if (done == 1) throw std::runtime_error("stop");
  };
  CHECK_THROWS_WITH_AS(f.runtime.prewarm(specs, kArch, 2, stop), "stop", std::runtime_error);
  CHECK(f.runtime.stats().compiles < 8);
}

TEST_CASE("prewarm rebuilds what another compiler version built" * doctest::skip(no_nvrtc())) {
  PrewarmFixture f;
  const std::vector<RopeSpec> specs = {small_spec()};
  put_entries(f.folder, small_spec(), loadable(), "NVRTC 1.0");
  CHECK(count(f.runtime.prewarm(specs, kArch), Status::compiled) == 2);
  CHECK(count(f.runtime.prewarm(specs, kArch), Status::cached) == 2);
}

TEST_CASE("one bad spec, one bad architecture or a bad thread count builds nothing" *
          doctest::skip(no_nvrtc())) {
  PrewarmFixture f;
  RopeSpec odd = small_spec();
  odd.rotary_dim = 65;
  const std::vector<RopeSpec> good = {small_spec()}, bad = {small_spec(), odd};
  CHECK(refusal([&] {
          f.runtime.prewarm(bad, kArch);
        }).starts_with("invalid_argument: rotary_dim = 65"));
  CHECK(refusal([&] {
          f.runtime.prewarm(good, std::vector<std::string>{"sm_90", "sm_9"});
        }).starts_with("invalid_argument: arch: 'sm_9'"));
  CHECK(refusal([&] { f.runtime.prewarm(good, std::vector<std::string>{"sm_90a"}); }) ==
        "invalid_argument: arch = sm_90a: kernels are looked up by the plain architecture; "
        "use sm_90");
  CHECK(refusal([&] { f.runtime.prewarm(good, kArch, -1); }) ==
        "invalid_argument: threads = -1: must be positive, or 0 for one per core");
  CHECK(f.runtime.stats().compiles == 0);
  CHECK(files_in(f.folder) == 0);
}

TEST_CASE("prewarm without a usable folder is an error before anything is built" *
          doctest::skip(no_nvrtc())) {
  PrewarmFixture f;
  const std::vector<RopeSpec> specs = {small_spec()};
  RuntimeOptions options;
  CHECK(refusal([&] { Runtime(options).prewarm(specs, kArch); }) ==
        "invalid_argument: cache_dir = \"\": pre-warming needs a cache folder");
  options.cache_dir = f.temporary.write("file", "no folder") + "/cache";
  Runtime runtime(options);
  const std::string error = refusal([&] { runtime.prewarm(specs, kArch); });
  CHECK(error.starts_with("io: cache folder " + options.cache_dir + ": cannot create "));
  CHECK(runtime.stats().compiles == 0);
}

TEST_CASE("prewarm refuses to run where compiling is switched off") {
  PrewarmFixture f;
  RuntimeOptions options;
  options.cache_dir = f.folder.string();
  options.allow_compile = false;
  Runtime runtime(options);
  CHECK(refusal([&] {
          runtime.prewarm(std::vector{small_spec()}, kArch);
        }).starts_with("invalid_argument: allow_compile = false"));
  CHECK(!runtime.stats().nvrtc_opened);
}

TEST_CASE("nothing to prewarm is nothing done") {
  PrewarmFixture f;
  CHECK(f.runtime.prewarm({}, {}).empty());
  CHECK(files_in(f.folder) == 0);
}

TEST_CASE("child: prewarm" * doctest::skip(child_folder().empty())) {
  RuntimeOptions options;
  options.cache_dir = child_folder().string();
  Runtime runtime(options);
  const auto results =
      runtime.prewarm(std::vector{small_spec(64), small_spec(32), small_spec(16)}, kArch, 2);
  CHECK(count(results, Status::failed) == 0);
  CHECK(results.size() == 6);
}

TEST_CASE("two processes prewarm one folder at once, and both succeed" *
          doctest::skip(no_nvrtc())) {
  PrewarmFixture f;
  const Child first("child: prewarm", f.folder), second("child: prewarm", f.folder);
  CHECK(first.wait() == 0);
  CHECK(second.wait() == 0);
  CHECK(files_in(f.folder) == 6);
  for (const CubinCache::Listed& entry : CubinCache(f.folder).list()) {
    CHECK(entry.lookup.status == CubinCache::Lookup::Status::hit);
  }
}

}  // namespace ropejit
