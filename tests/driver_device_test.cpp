// Device, Kernel, DeviceBuffer, Stream and Graph of driver.h.

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ropejit/error.h"
#include "src/driver.h"
#include "tests/refusal.h"
#include "tests/stub_cuda.h"
#include "tests/stub_fixture.h"

namespace ropejit {
namespace {

// CUresult values, from CUDA's documentation.
constexpr int kOutOfMemory = 2;
constexpr int kNoBinaryForGpu = 209;
constexpr int kNotFound = 500;

constexpr std::array<std::byte, 8> kCubin = {std::byte{0x7f}, std::byte{'E'}, std::byte{'L'},
                                             std::byte{'F'}};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("load puts the code on the device before the first launch") {
  StubFixture stub;
  const auto kernel = stub.device()->load(kCubin, "rope");
  CHECK(kernel->registers() == 40);
  CHECK(kernel->local_bytes() == 16);
  CHECK(stub.cuda.calls["cuKernelGetFunction"] == 1);
  kernel->launch("", 1, 32, nullptr);
  CHECK(stub.cuda.lazy_launches == 0);
}

TEST_CASE("a cubin that the driver refuses is an error that names call, error and kernel") {
  StubFixture stub;
  const auto device = stub.device();
  stub.cuda.fail("cuLibraryLoadData", kNoBinaryForGpu, 1);
  const std::string error = refusal([&] { device->load(kCubin, "rope"); });
  CHECK(error.starts_with("driver: "));
  CHECK(error ==
        "driver: cuLibraryLoadData for kernel rope failed: CUDA_ERROR_NO_BINARY_FOR_GPU (no kernel "
        "image "
        "is available for execution on the device), CUDA error 209");

  const std::array<std::byte, 8> damaged = {};
  CHECK(contains(refusal([&] { device->load(damaged, "rope"); }), "CUDA_ERROR_INVALID_IMAGE"));
  CHECK(contains(refusal([&] { device->load({}, "rope"); }), "CUDA_ERROR_INVALID_VALUE"));
  CHECK(device->load(kCubin, "rope") != nullptr);
}

TEST_CASE("a load that fails half-way unloads what it had loaded") {
  for (const char* call : {"cuLibraryGetKernel", "cuKernelGetFunction", "cuFuncGetAttribute"}) {
    CAPTURE(call);
    StubFixture stub;
    const auto device = stub.device();
    stub.cuda.fail(call, kNotFound);
    const std::string error = refusal([&] { device->load(kCubin, "rope"); });
    CHECK(contains(error, std::string(call) + " for kernel rope failed"));
    CHECK(stub.cuda.live.libraries == 0);
  }
}

TEST_CASE("launch passes grid, block, stream and the parameter's bytes") {
  StubFixture stub;
  const auto device = stub.device();
  const Stream stream = device->create_stream();
  const auto kernel = device->load(kCubin, "rope_kernel");
  const std::array<int, 3> params = {7, -8, 9};
  stub.cuda.params_bytes = sizeof(params);
  kernel->launch(&params, 1234, 160, stream.get());

  REQUIRE(stub.cuda.launches.size() == 1);
  const StubLaunch& launch = stub.cuda.launches.front();
  CHECK(launch.kernel == "rope_kernel");
  CHECK(launch.grid[0] == 1234);
  CHECK(launch.grid[1] == 1);
  CHECK(launch.grid[2] == 1);
  CHECK(launch.block[0] == 160);
  CHECK(launch.block[1] == 1);
  CHECK(launch.block[2] == 1);
  CHECK(launch.stream == stream.get());
  REQUIRE(launch.params.size() == sizeof(params));
  CHECK(std::memcmp(launch.params.data(), params.data(), sizeof(params)) == 0);
}

TEST_CASE("a failing launch names the kernel") {
  StubFixture stub;
  const auto kernel = stub.device()->load(kCubin, "rope_kernel");
  const std::string error = refusal([&] { kernel->launch("", 1, 2000, nullptr); });
  CHECK(error.starts_with("driver: "));
  CHECK(error ==
        "driver: cuLaunchKernelEx for kernel rope_kernel failed: CUDA_ERROR_INVALID_VALUE (invalid "
        "argument), CUDA error 1");
}

TEST_CASE("the caller's current context is restored, after a failure too") {
  StubFixture stub;
  const auto device = stub.device();
  const auto kernel = device->load(kCubin, "rope");
  int other = 0;
  const std::vector<CUctx_st*> mine = {reinterpret_cast<CUctx_st*>(&other)};
  stub_cuda_contexts() = mine;
  kernel->launch("", 1, 32, nullptr);
  CHECK(stub.cuda.launches.size() == 1);
  CHECK(stub_cuda_contexts() == mine);

  stub.cuda.fail("cuMemAlloc_v2", kOutOfMemory);
  CHECK_THROWS_AS(device->allocate(16), Error);
  CHECK(stub_cuda_contexts() == mine);
  stub_cuda_contexts().clear();
}

TEST_CASE("a context that is current already is not pushed again") {
  StubFixture stub;
  const auto device = stub.device();
  const auto kernel = device->load(kCubin, "rope");
  std::vector<CUctx_st*> inside;
  const Stream stream = device->create_stream();
  device->capture(stream.get(), [&] { inside = stub_cuda_contexts(); });
  REQUIRE(inside.size() == 1);

  stub_cuda_contexts() = inside;
  const int pushes = stub.cuda.calls["cuCtxPushCurrent_v2"];
  kernel->launch("", 1, 32, nullptr);
  CHECK(stub.cuda.launches.size() == 1);
  CHECK(stub.cuda.calls["cuCtxPushCurrent_v2"] == pushes);
  stub_cuda_contexts().clear();
}

TEST_CASE("a buffer holds what is copied and filled") {
  StubFixture stub;
  const auto device = stub.device();
  const Stream stream = device->create_stream();
  const DeviceBuffer first = device->allocate(4);
  const DeviceBuffer second = device->allocate(4);
  CHECK(first.size() == 4);
  const std::string written = "abcd";
  device->copy_to_device(first.data(), written.data(), 4);
  device->fill_async(second.data(), 'x', 4, stream.get());
  device->copy_async(second.data(), first.data(), 2, stream.get());
  stream.synchronize();
  device->synchronize();
  std::string read(4, '\0');
  device->copy_to_host(read.data(), second.data(), 4);
  CHECK(read == "abxx");
}

TEST_CASE("an empty buffer asks nothing of the device") {
  StubFixture stub;
  const auto device = stub.device();
  const DeviceBuffer buffer = device->allocate(0);
  CHECK(buffer.data() == nullptr);
  CHECK(buffer.size() == 0);
  device->copy_to_device(nullptr, nullptr, 0);
  device->copy_to_host(nullptr, nullptr, 0);
  device->fill_async(nullptr, 0, 0, nullptr);
  device->copy_async(nullptr, nullptr, 0, nullptr);
  CHECK(stub.cuda.calls["cuMemAlloc_v2"] == 0);
  CHECK(stub.cuda.calls["cuMemcpyHtoD_v2"] == 0);
}

TEST_CASE("moving hands over ownership and releases what was there") {
  StubFixture stub;
  const auto device = stub.device();
  DeviceBuffer buffer = device->allocate(1);
  buffer = device->allocate(2);
  CHECK(stub.cuda.live.allocations == 1);
  const DeviceBuffer taken = std::move(buffer);
  CHECK(taken.size() == 2);

  Stream stream = device->create_stream();
  stream = device->create_stream();
  CHECK(stub.cuda.live.streams == 1);
  const Stream same_stream = std::move(stream);

  Graph graph = device->capture(same_stream.get(), [] {});
  graph = device->capture(same_stream.get(), [] {});
  CHECK(stub.cuda.live.graph_execs == 1);
  const Graph same_graph = std::move(graph);
  CHECK(same_graph.nodes() == 0);
}

TEST_CASE("what a device made keeps it alive") {
  StubFixture stub;
  std::optional<DeviceBuffer> buffer = stub.device()->allocate(8);
  CHECK(stub.cuda.live.context_references == 1);
  buffer.reset();
  CHECK(stub.cuda.live == StubLive());
}

TEST_CASE("a graph launches what was captured, and nothing before") {
  StubFixture stub;
  const auto device = stub.device();
  const Stream stream = device->create_stream();
  const auto kernel = device->load(kCubin, "rope");
  const Graph graph = device->capture(stream.get(), [&] {
    kernel->launch("", 1, 32, stream.get());
    kernel->launch("", 2, 64, stream.get());
  });
  CHECK(graph.nodes() == 2);
  CHECK(stub.cuda.launches.empty());
  CHECK(stub.cuda.live.graphs == 0);
  graph.launch(stream.get());
  REQUIRE(stub.cuda.launches.size() == 2);
  CHECK(stub.cuda.launches[1].grid[0] == 2);
}

TEST_CASE("a graph's time is that of all its replays") {
  StubFixture stub;
  const auto device = stub.device();
  const Stream stream = device->create_stream();
  const auto kernel = device->load(kCubin, "rope");
  const Graph graph =
      device->capture(stream.get(), [&] { kernel->launch("", 1, 32, stream.get()); });
  CHECK(graph.time(stream.get(), 5) == doctest::Approx(5 * kStubMillisecondsPerOperation));
  CHECK(stub.cuda.launches.size() == 5);
  CHECK(stub.cuda.live.events == 0);
  const std::string error = refusal([&] { graph.time(stream.get(), 0); });
  CHECK(error.starts_with("invalid_argument: "));
  CHECK(contains(error, "replays: 0"));
}

TEST_CASE("a capture whose work throws is ended, and the exception passes through") {
  StubFixture stub;
  const auto device = stub.device();
  const Stream stream = device->create_stream();
  const auto kernel = device->load(kCubin, "rope");
  CHECK_THROWS_WITH_AS(device->capture(stream.get(),
                                       [&] {
                                         kernel->launch("", 1, 32, stream.get());
                                         throw std::out_of_range("the work's own");
                                       }),
                       "the work's own", std::out_of_range);
  CHECK(stub.cuda.live.graphs == 0);
  kernel->launch("", 1, 32, stream.get());
  CHECK(stub.cuda.launches.size() == 1);
}

TEST_CASE("a graph that cannot be instantiated is an error and leaves nothing behind") {
  StubFixture stub;
  const auto device = stub.device();
  const Stream stream = device->create_stream();
  stub.cuda.fail("cuGraphInstantiateWithFlags", kOutOfMemory);
  const std::string error = refusal([&] { device->capture(stream.get(), [] {}); });
  CHECK(contains(error, "cuGraphInstantiateWithFlags failed: CUDA_ERROR_OUT_OF_MEMORY"));
  CHECK(stub.cuda.live.graphs == 0);
}

TEST_CASE("loading, allocating and releasing during a capture do not disturb it") {
  StubFixture stub;
  const auto device = stub.device();
  const Stream stream = device->create_stream();
  auto old_kernel = device->load(kCubin, "old");
  const auto kernel = device->load(kCubin, "rope");
  std::optional<DeviceBuffer> old_buffer = device->allocate(8);
  const auto make_and_release = [&] {
    CHECK(device->load(kCubin, "new") != nullptr);
    CHECK(device->allocate(8).size() == 8);
    old_kernel.reset();
    old_buffer.reset();
  };
  const Graph graph = device->capture(stream.get(), [&] {
    make_and_release();
    std::thread(make_and_release).join();
    kernel->launch("", 1, 32, stream.get());
  });
  CHECK(graph.nodes() == 1);
  CHECK(stub.cuda.live.libraries == 1);
  CHECK(stub.cuda.live.allocations == 0);
}

TEST_CASE("what CUDA forbids during a capture is an error, and the stream is usable afterwards") {
  StubFixture stub;
  const auto device = stub.device();
  const Stream stream = device->create_stream();
  const std::string error =
      refusal([&] { device->capture(stream.get(), [&] { device->synchronize(); }); });
  CHECK(contains(error, "cuCtxSynchronize failed: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"));
  CHECK(device->capture(stream.get(), [] {}).nodes() == 0);
  CHECK(contains(refusal([&] { device->capture(nullptr, [] {}); }),
                 "cuStreamBeginCapture_v2 failed"));
}

TEST_CASE("several threads load and launch at once") {
  StubFixture stub;
  const auto device = stub.device();
  constexpr unsigned kThreads = 4;
  constexpr unsigned kLaunches = 50;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&device, thread] {
      const auto kernel = device->load(kCubin, "rope" + std::to_string(thread));
      for (unsigned i = 0; i < kLaunches; ++i) kernel->launch("", thread + 1, 32, nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    const std::string name = "rope" + std::to_string(thread);
    const auto launched = std::count_if(
        stub.cuda.launches.begin(), stub.cuda.launches.end(), [&](const StubLaunch& launch) {
          return launch.kernel == name && launch.grid[0] == thread + 1;
        });
    CHECK(launched == kLaunches);
  }
}

}  // namespace ropejit
