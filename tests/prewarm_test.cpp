#include "src/prewarm.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <numeric>
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

std::size_t count(const std::vector<PrewarmResult>& results, Status status) {
  std::size_t matches = 0;
  for (const PrewarmResult& result : results) matches += result.status == status ? 1 : 0;
  return matches;
}

std::size_t kernels_of(std::initializer_list<int> head_dims) {
  std::size_t kernels = 0;
  for (const int head_dim : head_dims) kernels += prewarm_requests(small_spec(head_dim)).size();
  return kernels;
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
  std::vector<BuildRequest> expected;
  for (const char* arch : {"sm_90", "sm_80"}) {
    for (const int head_dim : {64, 32}) {
      for (const BuildRequest& request : prewarm_requests(small_spec(head_dim), arch)) {
        expected.push_back(request);
      }
    }
  }
  const std::vector<PrewarmResult> results = f.runtime.prewarm(specs, archs, 2);
  REQUIRE(results.size() == expected.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    CHECK(results[i].key == Builder::key_of(expected[i]).hex());
    CHECK(results[i].arch == expected[i].arch);
    CHECK(results[i].kernel == describe(expected[i]));
    CHECK(results[i].status == Status::compiled);
    CHECK(results[i].message.empty());
    CHECK(results[i].milliseconds > 0);
  }
  CHECK(files_in(f.folder) == expected.size());
  CHECK(text_of(f.runtime.stats()) ==
        fmt::format("misses {0}, compiles {0}, NVRTC", expected.size()));

  Runtime second = f.make();
  CHECK(count(second.prewarm(specs, archs, 2), Status::cached) == expected.size());
  CHECK(text_of(second.stats()) == fmt::format("disk_hits {}, NVRTC", expected.size()));
}

TEST_CASE("progress counts from one to all, a result at a time" * doctest::skip(no_nvrtc())) {
  PrewarmFixture f;
  const std::vector<RopeSpec> specs = {small_spec(64), small_spec(32), small_spec(16)};
  const std::size_t all = kernels_of({64, 32, 16});
  std::vector<std::size_t> done, expected(all);
  std::iota(expected.begin(), expected.end(), std::size_t{1});
  std::vector<std::string> keys;
  const auto results = f.runtime.prewarm(
      specs, kArch, 3, [&](std::size_t so_far, std::size_t total, const PrewarmResult& result) {
        done.push_back(so_far);
        keys.push_back(result.key);
        CHECK(total == all);
        CHECK(result.status == Status::compiled);
      });
  CHECK(done == expected);
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
  CHECK(f.runtime.stats().compiles < kernels_of({64, 32, 16, 8}));
}

TEST_CASE("prewarm rebuilds what another compiler version built" * doctest::skip(no_nvrtc())) {
  PrewarmFixture f;
  const std::vector<RopeSpec> specs = {small_spec()};
  put_entries(f.folder, small_spec(), loadable(), "NVRTC 1.0");
  CHECK(count(f.runtime.prewarm(specs, kArch), Status::compiled) == kernels_of({64}));
  CHECK(count(f.runtime.prewarm(specs, kArch), Status::cached) == kernels_of({64}));
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
  CHECK(results.size() == kernels_of({64, 32, 16}));
}

TEST_CASE("two processes prewarm one folder at once, and both succeed" *
          doctest::skip(no_nvrtc())) {
  PrewarmFixture f;
  const Child first("child: prewarm", f.folder), second("child: prewarm", f.folder);
  CHECK(first.wait() == 0);
  CHECK(second.wait() == 0);
  CHECK(files_in(f.folder) == kernels_of({64, 32, 16}));
  for (const CubinCache::Listed& entry : CubinCache(f.folder).list()) {
    CHECK(entry.lookup.status == CubinCache::Lookup::Status::hit);
  }
}

}  // namespace ropejit
