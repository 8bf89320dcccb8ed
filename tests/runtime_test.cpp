#include "ropejit/runtime.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <link.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/runtime_fixture.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

// CUresult values, from CUDA's documentation.
constexpr int kOutOfMemory = 2;
constexpr int kNoBinaryForGpu = 209;

bool maps_nvrtc() {
  bool found = false;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        *static_cast<bool*>(out) |= contains(info->dlpi_name, "libnvrtc");
        return 0;
      },
      &found);
  return found;
}

}  // namespace

TEST_CASE("making a Runtime opens and creates nothing") {
  RuntimeFixture f;
  const Runtime runtime(f.options);
  CHECK(text_of(runtime.stats()).empty());
  CHECK(!fs::exists(f.folder));
  CHECK(f.cuda.calls.empty());
  CHECK(runtime.options().cache_dir == f.options.cache_dir);
}

TEST_CASE("cold, rope() compiles its kernels, each once; warm, it takes them from the folder" *
          doctest::skip(no_nvrtc())) {
  RuntimeFixture f;
  CHECK(f.counts_of_one() == fmt::format("misses {0}, compiles {0}, NVRTC", f.kernels));
  CHECK(f.counts_of_one() == fmt::format("disk_hits {}", f.kernels));
  CHECK(f.log.lines().empty());
}

TEST_CASE("a spec that was resolved before is found in memory, with frequencies of its own") {
  RuntimeFixture f;
  put_entries(f.folder, f.spec, loadable());
  Runtime runtime(f.options);
  const Rope first = f.resolve(runtime);
  const Rope second = runtime.rope(f.spec, default_frequencies(64, 500000));
  CHECK(text_of(runtime.stats()) == fmt::format("memory_hits {0}, disk_hits {0}", f.kernels));
  CHECK(f.cuda.calls["cuLibraryLoadData"] == static_cast<int>(f.kernels));
  CHECK(f.cuda.live.allocations == 2);
  CHECK(first.spec() == f.spec);
  CHECK(first.device() == 0);
}

TEST_CASE("kernels are on the device before rope() returns") {
  RuntimeFixture f;
  put_entries(f.folder, f.spec, loadable());
  Runtime runtime(f.options);
  const Rope rope = f.resolve(runtime);
  char token[256] = {};
  rope.apply(one_token(token));
  CHECK(f.cuda.launches.size() == 1);
  CHECK(f.cuda.lazy_launches == 0);
}

TEST_CASE("child: a warm start" * doctest::skip(child_folder().empty())) {
  RuntimeOptions options;
  options.cache_dir = child_folder().string();
  options.cuda_library = ROPEJIT_STUB_CUDA;
  Runtime runtime(options);
  char token[256] = {};
  runtime.rope(small_spec(), frequencies_of(small_spec())).apply(one_token(token));
  std::ofstream(child_folder() / "report")
      << text_of(runtime.stats()) << (maps_nvrtc() ? "; mapped" : "; not mapped") << "; "
      << stub_cuda().launches.size() << " launch";
}

TEST_CASE("a fresh process on a warm folder launches without mapping NVRTC" *
          doctest::skip(no_nvrtc())) {
  RuntimeFixture f;
  const auto report = [&] {
    CHECK(Child("child: a warm start", f.folder).wait() == 0);
    std::ifstream file(f.folder / "report");
    std::string text;
    std::getline(file, text);
    return text;
  };
  fs::create_directories(f.folder);
  CHECK(report() == fmt::format("misses {0}, compiles {0}, NVRTC; mapped; 1 launch", f.kernels));
  CHECK(report() == fmt::format("disk_hits {}; not mapped; 1 launch", f.kernels));
}

TEST_CASE("a damaged entry is rebuilt and healed" * doctest::skip(no_nvrtc())) {
  RuntimeFixture f;
  f.counts_of_one();
  fs::resize_file(entry_path(f.folder, requests_for(f.spec)[1]), 1000);
  CHECK(f.counts_of_one() ==
        fmt::format("disk_hits {}, misses 1, damaged 1, compiles 1, NVRTC", f.kernels - 1));
  CHECK(f.log.lines().size() == 1);
  CHECK(f.counts_of_one() == fmt::format("disk_hits {}", f.kernels));
}

TEST_CASE("an entry that the driver refuses is rebuilt and healed" * doctest::skip(no_nvrtc())) {
  RuntimeFixture f;
  put_entries(f.folder, f.spec, bytes_of("not for this driver"));
  CHECK(f.counts_of_one() ==
        fmt::format("disk_hits {0}, driver_refused {0}, compiles {0}, NVRTC", f.kernels));
  REQUIRE(f.log.lines().size() == f.kernels);
  CHECK(f.log.lines()[0].starts_with("cache entry " +
                                     Builder::key_of(requests_for(f.spec)[0]).hex() +
                                     ": refused by the driver (cuLibraryLoadData"));
  CHECK(f.log.lines()[0].ends_with("; rebuilding it"));
  CHECK(f.counts_of_one() == fmt::format("disk_hits {}", f.kernels));
}

TEST_CASE("an entry that the driver refuses is an error where compiling is switched off") {
  RuntimeFixture f;
  put_entries(f.folder, f.spec, bytes_of("not for this driver"));
  f.options.allow_compile = false;
  Runtime runtime(f.options);
  CHECK(contains(refusal([&] { f.resolve(runtime); }), "driver: cuLibraryLoadData for kernel"));
  CHECK(!runtime.stats().nvrtc_opened);
}

TEST_CASE("a fresh cubin that the driver refuses is an error, and not for ever" *
          doctest::skip(no_nvrtc())) {
  RuntimeFixture f;
  Runtime runtime(f.options);
  f.cuda.fail("cuLibraryLoadData", kNoBinaryForGpu, 1);
  const std::string error = refusal([&] { f.resolve(runtime); });
  CHECK(
      error.starts_with("driver: cuLibraryLoadData for kernel ropejit_rope failed: "
                        "CUDA_ERROR_NO_BINARY_FOR_GPU"));
  CHECK(runtime.stats().compiles >= 1);
  CHECK(refusal([&] { f.resolve(runtime); }) == "accepted");
  // Which of the kernels it was is left to chance; its cubin is in the folder.
  CHECK(runtime.stats().compiles == f.kernels);
  CHECK(runtime.stats().misses == f.kernels);
  CHECK(runtime.stats().disk_hits == 1);
}

TEST_CASE("a folder that cannot be used means memory only, and one line of log" *
          doctest::skip(no_nvrtc())) {
  RuntimeFixture f;
  f.options.cache_dir = f.temporary.write("file", "no folder") + "/cache";
  Runtime runtime(f.options);
  const Rope rope = f.resolve(runtime);
  f.resolve(runtime);
  CHECK(text_of(runtime.stats()) ==
        fmt::format("memory_hits {0}, misses {0}, compiles {0}, write_failures {0}, NVRTC",
                    f.kernels));
  REQUIRE(f.log.lines().size() == 1);
  CHECK(f.log.lines()[0].starts_with("cache folder " + f.options.cache_dir + ": "));
  char token[256] = {};
  rope.apply(one_token(token));
  CHECK(f.cuda.launches.size() == 1);
}

TEST_CASE("without a cache folder cubins live in memory, and nothing is written" *
          doctest::skip(no_nvrtc())) {
  RuntimeFixture f;
  f.options.cache_dir.clear();
  Runtime runtime(f.options);
  f.resolve(runtime);
  f.resolve(runtime);
  CHECK(text_of(runtime.stats()) == fmt::format("memory_hits {0}, compiles {0}, NVRTC", f.kernels));
  CHECK(f.log.lines().empty());
}

TEST_CASE("with compiling switched off, a missing kernel is named with its key and the folder") {
  RuntimeFixture f;
  f.options.allow_compile = false;
  Runtime runtime(f.options);
  const std::string error = refusal([&] { f.resolve(runtime); });
  CHECK(error.starts_with("not_cached: "));
  CHECK(contains(error, Builder::key_of(requests_for(f.spec)[0]).hex()));
  CHECK(contains(error, f.folder.string()));
  CHECK(text_of(runtime.stats()) == "misses 1");
}

TEST_CASE("without NVRTC a missing kernel is an error with the paths tried, a cached one is not") {
  RuntimeFixture f;
  f.options.nvrtc_library = "/no/such/libnvrtc.so.13";
  Runtime runtime(f.options);
  const std::string error = refusal([&] { f.resolve(runtime); });
  CHECK(error.starts_with("compile_failed: "));
  CHECK(contains(error, "/no/such/libnvrtc.so.13"));
  put_entries(f.folder, f.spec, loadable());
  CHECK(refusal([&] { f.resolve(runtime); }) == "accepted");
}

TEST_CASE("a failed compilation does not stand in the way of the next one" *
          doctest::skip(no_nvrtc())) {
  RuntimeFixture f;
  const fs::path late = f.temporary / "libnvrtc.so";
  f.options.nvrtc_library = late.string();
  Runtime runtime(f.options);
  CHECK(refusal([&] { f.resolve(runtime); }).starts_with("compile_failed: "));
  CHECK(text_of(runtime.stats()) == "misses 1");
  fs::create_symlink(Compiler("").library().path, late);
  CHECK(refusal([&] { f.resolve(runtime); }) == "accepted");
  CHECK(text_of(runtime.stats()) ==
        fmt::format("misses {}, compiles {}, NVRTC", f.kernels + 1, f.kernels));
}

TEST_CASE("a device out of memory is an error that leaves nothing behind") {
  RuntimeFixture f;
  put_entries(f.folder, f.spec, loadable());
  Runtime runtime(f.options);
  f.cuda.fail("cuMemAlloc_v2", kOutOfMemory, 1);
  CHECK(contains(refusal([&] { f.resolve(runtime); }), "CUDA_ERROR_OUT_OF_MEMORY"));
  CHECK(refusal([&] { f.resolve(runtime); }) == "accepted");
}

TEST_CASE("sixteen threads that ask for one kernel compile and load it once" *
          doctest::skip(no_nvrtc())) {
  constexpr int kThreads = 16;
  RuntimeFixture f;
  {
    Runtime runtime(f.options);
    std::latch start(kThreads);
    std::atomic<int> resolved{0};
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < kThreads; ++i) {
        threads.emplace_back([&] {
          start.arrive_and_wait();
          const Rope rope = f.resolve(runtime);
          if (rope.device() == 0) ++resolved;
        });
      }
    }
    CHECK(resolved == kThreads);
    CHECK(text_of(runtime.stats()) ==
          fmt::format("memory_hits {0}, misses {1}, compiles {1}, NVRTC",
                      (kThreads - 1) * f.kernels, f.kernels));
  }
  CHECK(f.cuda.calls["cuLibraryLoadData"] == static_cast<int>(f.kernels));
  CHECK(f.cuda.calls["cuInit"] == 1);
}

TEST_CASE("each device loads the kernels for itself") {
  RuntimeFixture f;
  f.cuda.device_count = 2;
  put_entries(f.folder, f.spec, loadable());
  Runtime runtime(f.options);
  CHECK(runtime.rope(f.spec, frequencies_of(f.spec), 0).device() == 0);
  CHECK(runtime.rope(f.spec, frequencies_of(f.spec), 1).device() == 1);
  CHECK(text_of(runtime.stats()) == fmt::format("disk_hits {}", 2 * f.kernels));
}

TEST_CASE("a Rope outlives its Runtime, and takes all with it when it goes") {
  RuntimeFixture f;
  put_entries(f.folder, f.spec, loadable());
  std::optional<Rope> copy;
  {
    Runtime runtime(f.options);
    const Rope rope = f.resolve(runtime);
    copy = rope;
  }
  CHECK(f.cuda.live.libraries == static_cast<int>(f.kernels));
  char token[256] = {};
  copy->apply(one_token(token));
  CHECK(f.cuda.launches.size() == 1);
  copy.reset();
  CHECK(f.cuda.live == StubLive());
}

TEST_CASE("a Runtime can be moved, with all that it holds") {
  RuntimeFixture f;
  put_entries(f.folder, f.spec, loadable());
  Runtime first(f.options);
  f.resolve(first);
  Runtime second(std::move(first));
  f.resolve(second);
  CHECK(text_of(second.stats()) == fmt::format("memory_hits {0}, disk_hits {0}", f.kernels));
}

}  // namespace ropejit
