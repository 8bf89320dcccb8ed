#include "tools/tune_device.h"

#include <doctest/doctest.h>

#include <atomic>
#include <vector>

#include "tests/runtime_fixture.h"

// On the stub of libcuda, whose kernels compute nothing.
namespace ropejit {
namespace {

struct DeviceFixture : RuntimeFixture {
  std::atomic<bool> stop{false};
  Runtime runtime{options};
  DeviceMeasurer measurer{runtime, 0, 2, stop};
  TuneCell cell{spec, frequencies_of(spec), 16};
  const std::vector<LaunchConfig> configs = {{128, 8, Pairing::registers, 1},
                                             {128, 16, Pairing::exchange, 2}};
};

/// What a measurement ends with.
template <typename Call>
std::string failure_of(Call call) {
  try {
    call();
  } catch (const MeasureFailure& failure) {
    return describe(failure.config()) + ": " + failure.what();
  }
  return "none";
}

}  // namespace

TEST_CASE_FIXTURE(DeviceFixture, "the space is the device's") {
  CHECK(measurer.space(cell) ==
        tune_space(spec, 16, {cuda.major, cuda.minor, cuda.sm_count, cuda.l2_bytes}));
}

TEST_CASE_FIXTURE(DeviceFixture, "a device that computes nothing has every candidate rejected" *
                                     doctest::skip(no_nvrtc())) {
  for (const Vetting& vetting : measurer.vet(cell, configs)) {
    CHECK(vetting.verdict == Verdict::correctness);
    CHECK_FALSE(vetting.message.empty());
  }
  CHECK_FALSE(measurer.lost().has_value());
}

TEST_CASE_FIXTURE(DeviceFixture, "a round has a time per config" * doctest::skip(no_nvrtc())) {
  const std::vector<CallTimes> times = measurer.measure(cell, configs);
  REQUIRE(times.size() == 2);
  for (const CallTimes& time : times) CHECK(time.combined_us() > 0);
  const int allocations = cuda.live.allocations;
  measurer.measure(cell, configs);
  CHECK(cuda.live.allocations == allocations);
  CHECK(cuda.live.graph_execs == 4);
  cell.tokens = 32;
  measurer.measure(cell, {configs.data(), 1});
  CHECK(cuda.live.graph_execs == 2);  // the other cell's are gone
}

TEST_CASE_FIXTURE(DeviceFixture, "a config that fails is named, and the device stays" *
                                     doctest::skip(no_nvrtc())) {
  measurer.measure(cell, configs);
  cuda.fail("cuEventSynchronize", 700, 1);
  CHECK(failure_of([&] {
          measurer.measure(cell, configs);
        }).starts_with("128 threads, 8 bytes, registers, 1 head: cuEventSynchronize"));
  CHECK_FALSE(measurer.lost().has_value());
  CHECK_FALSE(stop);
  CHECK(failure_of([&] { measurer.measure(cell, configs); }) == "none");
}

TEST_CASE_FIXTURE(DeviceFixture, "a failure that takes the device with it stops the search" *
                                     doctest::skip(no_nvrtc())) {
  measurer.measure(cell, configs);
  cuda.fail("cuEventSynchronize", 700);
  cuda.fail("cuCtxSynchronize", 700);
  CHECK(failure_of([&] { measurer.measure(cell, configs); }) != "none");
  REQUIRE(measurer.lost().has_value());
  CHECK(contains(*measurer.lost(), "cuEventSynchronize"));
  CHECK(stop);
  cuda.failures.clear();
}

TEST_CASE_FIXTURE(DeviceFixture,
                  "so does one while candidates are verified" * doctest::skip(no_nvrtc())) {
  cuda.fail("cuLaunchKernelEx", 700);
  cuda.fail("cuCtxSynchronize", 700);
  for (const Vetting& vetting : measurer.vet(cell, configs)) {
    CHECK(vetting.verdict == Verdict::runtime);
  }
  CHECK(measurer.lost().has_value());
  CHECK(stop);
  cuda.failures.clear();
}

TEST_CASE_FIXTURE(DeviceFixture, "a cell that does not fit into memory is the driver's error") {
  cuda.fail("cuMemAlloc_v2", 2);
  CHECK(refusal([&] { measurer.measure(cell, configs); }).starts_with("driver: cuMemAlloc"));
}

}  // namespace ropejit
