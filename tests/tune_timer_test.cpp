#include "tools/tune_timer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "src/launch.h"
#include "tests/runtime_fixture.h"

// On the stub of libcuda, where every call takes the same time and launches are written down.
namespace ropejit {
namespace {

constexpr double kCallUs = static_cast<double>(kStubMillisecondsPerOperation) * 1000;
constexpr LaunchConfig kPlain{128, 8, Pairing::registers, 1};
constexpr LaunchConfig kOther{256, 16, Pairing::exchange, 2};

struct TimerFixture : RuntimeFixture {
  TimerFixture() { cuda.params_bytes = sizeof(kernel::RopeParams); }

  Runtime runtime{options};
  TuneCell cell{spec, frequencies_of(spec), 40000};  // 15 MiB each way: a ring of several sets
};

kernel::RopeParams params_of(const StubLaunch& launch) {
  kernel::RopeParams params;
  std::memcpy(&params, launch.params.data(), sizeof params);
  return params;
}

}  // namespace

TEST_CASE_FIXTURE(TimerFixture, "a config is timed out of place and in place, per call" *
                                    doctest::skip(no_nvrtc())) {
  CellTimer timer(runtime, device(), cell);
  timer.prepare(kPlain);
  timer.prepare(kOther);
  for (const LaunchConfig& config : {kPlain, kOther}) {
    cuda.launches.clear();
    const CallTimes times = timer.time(config);
    CHECK(times.out_of_place_us == doctest::Approx(kCallUs));
    CHECK(times.in_place_us == doctest::Approx(kCallUs));
    std::set<bool> places;
    std::set<const void*> inputs;
    for (const StubLaunch& launch : cuda.launches) {
      CHECK(launch.block[0] == static_cast<unsigned>(config.block_threads));
      const kernel::RopeParams params = params_of(launch);
      places.insert(params.q.in == params.q.out);
      inputs.insert(params.q.in);
    }
    CHECK(places.size() == 2);
    CHECK(inputs.size() > 4);  // both rings
  }
}

TEST_CASE_FIXTURE(TimerFixture, "every replay is timed behind another one, of as many calls" *
                                    doctest::skip(no_nvrtc())) {
  CellTimer timer(runtime, device(), cell);
  timer.prepare(kPlain);
  timer.prepare(kOther);
  cuda.launches.clear();
  cuda.calls.clear();
  timer.time(kPlain);
  const std::size_t launches = cuda.launches.size();
  CHECK(cuda.calls["cuGraphLaunch"] == 4);
  CHECK(cuda.calls["cuEventElapsedTime"] == 2);
  CHECK(launches >= 4 * 200);  // of a microsecond each
  cuda.launches.clear();
  timer.time(kOther);
  CHECK(cuda.launches.size() == launches);
}

TEST_CASE_FIXTURE(TimerFixture, "graphs are made once" * doctest::skip(no_nvrtc())) {
  CellTimer timer(runtime, device(), cell);
  timer.prepare(kPlain);
  const int graphs = cuda.live.graph_execs;
  CHECK(graphs == 2);
  timer.prepare(kPlain);
  CHECK(cuda.live.graph_execs == graphs);
}

TEST_CASE_FIXTURE(TimerFixture, "the attention factor does not grow what is rotated in place" *
                                    doctest::skip(no_nvrtc())) {
  cell.frequencies.attention_factor = 1.5f;
  CellTimer timer(runtime, device(), cell);
  timer.prepare(kPlain);
  cuda.launches.clear();
  timer.time(kPlain);
  for (const StubLaunch& launch : cuda.launches) {
    CHECK(params_of(launch).attention_factor == 1.0f);
  }
}

TEST_CASE_FIXTURE(TimerFixture, "too little memory is the driver's error") {
  cuda.fail("cuMemAlloc_v2", 2);
  CHECK(refusal([&] { CellTimer(runtime, device(), cell); }).starts_with("driver: cuMemAlloc"));
}

}  // namespace ropejit
