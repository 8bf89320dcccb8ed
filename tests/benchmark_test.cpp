#include "tools/benchmark.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/runtime_fixture.h"

namespace ropejit {
namespace {

constexpr MeasureOptions kQuick{
    .budget_ms = 0, .least_rounds = 2, .most_rounds = 2, .replay_us = 10};
constexpr double kStubCallUs = 1000.0 * kStubMillisecondsPerOperation;

Workload workload_of(const RopeSpec& spec, std::int64_t tokens) {
  Workload workload;
  workload.spec = spec;
  workload.frequencies = frequencies_of(spec);
  workload.tokens = tokens;
  return workload;
}

int loads(StubCuda& cuda) { return cuda.calls["cuLibraryLoadData"]; }

}  // namespace

TEST_CASE_FIXTURE(RuntimeFixture, "a cell has a time of everything that it is compared with" *
                                      doctest::skip(no_nvrtc())) {
  Benchmark benchmark(options, 0);
  CHECK(benchmark.nvrtc_version().starts_with("NVRTC "));
  const BenchmarkCell cell = benchmark.measure(workload_of(spec, 8), kQuick);
  CHECK(cell.bytes == 8 * 3 * 64 * 2 * 2);
  CHECK(cell.gpu.us == doctest::Approx(kStubCallUs));
  CHECK(cell.copy.us == doctest::Approx(kStubCallUs));
  CHECK(cell.twin.us == doctest::Approx(kStubCallUs));
  REQUIRE(cell.chain);
  CHECK(cell.chain->us == doctest::Approx(kStubCallUs));
  CHECK(std::any_of(cuda.launches.begin(), cuda.launches.end(),
                    [](const StubLaunch& launch) { return launch.dependent; }));
  CHECK(cell.ratio_to_copy() == doctest::Approx(1));
  CHECK(cell.gigabytes_per_second() == doctest::Approx(6.144));
}

TEST_CASE_FIXTURE(RuntimeFixture, "a prefill is not chained" * doctest::skip(no_nvrtc())) {
  Benchmark benchmark(options, 0);
  CHECK(benchmark.measure(workload_of(spec, 256), kQuick).chain);
  CHECK_FALSE(benchmark.measure(workload_of(spec, 257), kQuick).chain);
}

TEST_CASE_FIXTURE(RuntimeFixture, "ratios are speeds relative to copy and twin") {
  BenchmarkCell cell;
  cell.bytes = 4000000;
  cell.gpu.us = 2;
  cell.copy.us = 1;
  cell.twin.us = 1.5;
  CHECK(cell.ratio_to_copy() == 0.5);
  CHECK(cell.ratio_to_twin() == 0.75);
  CHECK(cell.gigabytes_per_second() == 2000);
}

TEST_CASE_FIXTURE(RuntimeFixture, "what was built ahead is not compiled again, and only once" *
                                      doctest::skip(no_nvrtc())) {
  Benchmark benchmark(options, 0);
  RopeSpec other = spec;
  other.layout = Layout::interleaved;
  const std::vector<Workload> workloads = {workload_of(spec, 8), workload_of(other, 8),
                                           workload_of(spec, 8), workload_of(spec, 4096)};
  CHECK(benchmark.compiles() == 0);
  benchmark.build(workloads);
  const std::uint64_t built = benchmark.compiles();
  CHECK(built >= 6);   // two specs, each as it is, as a twin and for calls that are not aligned
  CHECK(built <= 10);  // and 4096 tokens may take another config
  benchmark.build(workloads);
  for (const Workload& workload : workloads) benchmark.measure(workload, kQuick);
  benchmark.measure_host(spec, frequencies_of(spec));
  CHECK(benchmark.compiles() == built);
}

TEST_CASE_FIXTURE(RuntimeFixture,
                  "kernels go to no folder of the user's" * doctest::skip(no_nvrtc())) {
  {
    Benchmark benchmark(options, 0);
    benchmark.measure(workload_of(spec, 1), kQuick);
    CHECK(loads(cuda) > 2);
  }
  CHECK_FALSE(std::filesystem::exists(folder));
}

TEST_CASE_FIXTURE(RuntimeFixture,
                  "a kernel that does not compile ends the building" * doctest::skip(no_nvrtc())) {
  cuda.major = 7;  // sm_70, which ropejit has no kernels for
  cuda.minor = 0;
  CHECK(refusal([&] { Benchmark(options, 0); }).find("sm_70") != std::string::npos);
}

TEST_CASE_FIXTURE(RuntimeFixture, "a workload that the device has no room for is named as one" *
                                      doctest::skip(no_nvrtc())) {
  const Benchmark benchmark(options, 0);
  Workload workload = workload_of(spec, 1);
  CHECK(benchmark.obstacle(workload).empty());
  workload.spec.q_heads = workload.spec.kv_heads = 512;
  workload.tokens = 1 << 20;  // 128 GiB of q and k
  CHECK(benchmark.obstacle(workload) ==
        "needs 256.0 GiB of device memory; 64.0 of 80.0 GiB are used at most");
}

TEST_CASE_FIXTURE(RuntimeFixture, "host time is that of one token" * doctest::skip(no_nvrtc())) {
  Benchmark benchmark(options, 0);
  const PairedTiming timing = benchmark.measure_host(spec, frequencies_of(spec));
  CHECK(timing.repetitions == 10000);
  CHECK(timing.first_ns.median > 0);
  CHECK(std::none_of(cuda.launches.begin(), cuda.launches.end(), [](const StubLaunch& launch) {
    return launch.grid[0] > 2;
  }));  // one of q, one of k
}

}  // namespace ropejit
