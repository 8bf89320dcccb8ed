#include "tools/host_timing.h"

#include <doctest/doctest.h>

#include <string>

#include "src/counters.h"
#include "tests/runtime_fixture.h"

namespace ropejit {
namespace {

/// Work that moves a clock forward and is written down.
struct FakeWork {
  double now_ns = 0;
  std::string order;

  std::function<void()> work(char letter, double ns) {
    return [this, letter, ns] {
      order += letter;
      now_ns += ns;
    };
  }
  std::function<double()> clock() {
    return [this] { return now_ns; };
  }
};

}  // namespace

TEST_CASE("groups alternate, and every second pair begins with the other way") {
  FakeWork fake;
  const PairedTiming timing =
      measure_pairs(fake.work('a', 300), fake.work('b', 200), fake.work('|', 5000),
                    {.pairs = 3, .group = 2}, fake.clock());
  CHECK(fake.order == "|aa|bb|bb|aa|aa|bb");
  CHECK(timing.first_ns.median == 300);  // what settles is not timed
  CHECK(timing.second_ns.median == 200);
  CHECK(timing.difference_ns.median == 100);
  CHECK(timing.repetitions == 6);
}

TEST_CASE("the difference is that of pairs, which drift together") {
  double now = 0;
  double cost = 1000;
  const auto drifting = [&](double more) {
    return [&now, &cost, more] {
      cost += 1;
      now += cost + more;
    };
  };
  const PairedTiming timing = measure_pairs(
      drifting(50), drifting(0), [] {}, {.pairs = 1000, .group = 1}, [&] { return now; });
  CHECK(timing.difference_ns.median == doctest::Approx(50).epsilon(0.03));
  CHECK(timing.difference_ns.high - timing.difference_ns.low <= 2);
  CHECK(timing.first_ns.high - timing.first_ns.low > 50);
}

TEST_CASE_FIXTURE(RuntimeFixture, "apply and the raw launch launch the same kernel equally often" *
                                      doctest::skip(no_nvrtc())) {
  Counters counters;
  Builder builder({.cache_dir = folder.string(), .nvrtc_library = {}, .log = {}}, counters);
  const LaunchConfig config{.block_threads = 96};
  Workload workload;
  workload.spec = spec;
  workload.frequencies = frequencies_of(spec);
  const WorkloadRing ring(device(), workload);
  Runtime runtime(options);
  const Rope rope = runtime.rope(spec, workload.frequencies, 0, config);
  cuda.launches.clear();
  const PairedTiming timing = measure_host(builder, rope, ring, config, {.pairs = 10, .group = 4});
  CHECK(timing.repetitions == 40);
  CHECK(timing.first_ns.median > 0);
  CHECK(timing.second_ns.median > 0);
  CHECK(cuda.launches.size() == 2 * 4 * (20 + 10));  // warm-up included
  for (const StubLaunch& launch : cuda.launches) {
    CHECK(launch.block[0] == 96);
    CHECK(launch.grid[0] == cuda.launches.front().grid[0]);
    CHECK(launch.stream == cuda.launches.front().stream);
  }
  CHECK(cuda.calls["cuStreamSynchronize"] >= 2 * (20 + 10));
}

TEST_CASE_FIXTURE(RuntimeFixture,
                  "a raw launch that fails fails the measurement" * doctest::skip(no_nvrtc())) {
  Counters counters;
  Builder builder({.cache_dir = folder.string(), .nvrtc_library = {}, .log = {}}, counters);
  Workload workload;
  workload.spec = spec;
  workload.frequencies = frequencies_of(spec);
  const WorkloadRing ring(device(), workload);
  Runtime runtime(options);
  // The stub's device has host memory, so a Rope on the CPU can be applied to it: none but the raw
  // launch fails.
  const Rope rope = runtime.rope(spec, workload.frequencies, kCpuDevice);
  cuda.fail("cuLaunchKernelEx", 1, 1);
  const auto measure = [&] { measure_host(builder, rope, ring, {}, {.pairs = 1, .group = 1}); };
  CHECK(refusal(measure) == "driver: a raw cuLaunchKernelEx failed");
  CHECK(refusal(measure) == "accepted");
}

}  // namespace ropejit
