#include "src/driver_raw_launch.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <vector>

#include "tests/stub_fixture.h"

namespace ropejit {
namespace {

const std::vector<std::byte>& cubin() {
  static const std::vector<std::byte> bytes = {std::byte{0x7f}, std::byte{'E'}, std::byte{'L'},
                                               std::byte{'F'}};
  return bytes;
}

}  // namespace

TEST_CASE_FIXTURE(StubFixture, "a raw launch is one call, with what was prepared") {
  cuda.params_bytes = sizeof(int);
  const auto on = device();
  const ropejit::Stream stream = on->create_stream();
  int params = 41;
  const RawLaunch raw(on->load(cubin(), "a_kernel"), &params, 3, 96, stream.get());
  const int pushes = cuda.calls["cuCtxPushCurrent_v2"];
  const int looks = cuda.calls["cuCtxGetCurrent"];
  params = 42;  // borrowed, not copied
  CHECK(raw.launch());
  CHECK(cuda.calls["cuCtxPushCurrent_v2"] == pushes);
  CHECK(cuda.calls["cuCtxGetCurrent"] == looks);
  REQUIRE(cuda.launches.size() == 1);
  const StubLaunch& launch = cuda.launches.front();
  CHECK(launch.kernel == "a_kernel");
  CHECK(launch.grid[0] == 3);
  CHECK(launch.grid[1] * launch.grid[2] == 1);
  CHECK(launch.block[0] == 96);
  CHECK(launch.block[1] * launch.block[2] == 1);
  CHECK(launch.stream == stream.get());
  CHECK_FALSE(launch.dependent);
  CHECK(std::memcmp(launch.params.data(), &params, sizeof params) == 0);
}

TEST_CASE_FIXTURE(StubFixture, "the context is current for as long as the raw launch lives") {
  const auto on = device();
  const int params = 0;
  {
    const RawLaunch raw(on->load(cubin(), "a_kernel"), &params, 1, 32, nullptr);
    CHECK(stub_cuda_contexts().size() == 1);
  }
  CHECK(stub_cuda_contexts().empty());
}

TEST_CASE_FIXTURE(StubFixture, "a raw launch that fails says so and does not throw") {
  const auto on = device();
  const int params = 0;
  const RawLaunch raw(on->load(cubin(), "a_kernel"), &params, 1, 32, nullptr);
  cuda.fail("cuLaunchKernelEx", 1);
  CHECK_FALSE(raw.launch());
}

}  // namespace ropejit
