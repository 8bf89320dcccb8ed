// What driver_test.cpp and driver_device_test.cpp check on a stub, on the machine's first GPU.

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ropejit/error.h"
#include "src/compiler.h"
#include "src/driver.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

struct Params {
  int* out;
  int first;
};

constexpr int kBlocks = 3;
constexpr int kThreads = 64;
constexpr int kCount = kBlocks * kThreads;
constexpr std::size_t kBytes = kCount * sizeof(int);

/// out[i] = out[i] + first + i
constexpr const char* kSource = R"(
struct Params { int* out; int first; };
extern "C" __global__ void add_index(const Params params) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  params.out[i] += params.first + i;
}
)";

constexpr int kSkipped = 77;

/// The device; ends the program as skipped where there is none.
const std::shared_ptr<const Device>& gpu() {
  static const std::shared_ptr<const Device> device = [] {
    try {
      return Device::open(Driver::open(""), 0);
    } catch (const Error& error) {
      std::printf("skipped: %s\n", error.what());
      std::exit(kSkipped);
    }
  }();
  return device;
}

std::vector<std::byte> compile(const std::string& arch) {
  static const Compiler compiler("");
  return compiler.compile(kSource, "add_index.cu", arch, {});
}

std::vector<int> read(const DeviceBuffer& buffer) {
  std::vector<int> values(kCount);
  gpu()->copy_to_host(values.data(), buffer.data(), kBytes);
  return values;
}

/// What `launches` launches leave in a buffer of zeros.
std::vector<int> expected(int first, int launches) {
  std::vector<int> values(kCount);
  for (int i = 0; i < kCount; ++i) values[static_cast<std::size_t>(i)] = launches * (first + i);
  return values;
}

}  // namespace

TEST_CASE("the GPU says what it is") {
  const DeviceInfo& info = gpu()->info();
  CHECK(!info.name.empty());
  CHECK(info.major * 10 + info.minor >= 75);
  CHECK(info.sm_count > 0);
  CHECK(info.l2_bytes > 0);
  CHECK(info.memory_bytes > info.l2_bytes);
  CHECK(gpu()->driver().version() >= 12000);
}

TEST_CASE("a compiled kernel runs with its parameters") {
  const auto kernel = gpu()->load(compile(gpu()->info().arch()), "add_index");
  CHECK(kernel->registers() > 0);
  CHECK(kernel->local_bytes() == 0);
  const DeviceBuffer buffer = gpu()->allocate(kBytes);
  const Stream stream = gpu()->create_stream();
  gpu()->fill_async(buffer.data(), 0, kBytes, stream.get());
  const Params params{static_cast<int*>(buffer.data()), 5};
  kernel->launch(&params, kBlocks, kThreads, stream.get());
  stream.synchronize();
  CHECK(read(buffer) == expected(5, 1));
}

TEST_CASE("a cubin that cannot run here is refused, and the device goes on working") {
  const std::vector<std::byte> good = compile(gpu()->info().arch());
  const std::vector<std::byte> other = compile(gpu()->info().major == 7 ? "sm_80" : "sm_75");
  std::vector<std::byte> zeros(good.size());
  for (const auto& cubin : {other, zeros}) {
    const std::string error = refusal([&] { gpu()->load(cubin, "add_index"); });
    CAPTURE(error);
    CHECK(error.starts_with("driver: "));
    CHECK(error.find("for kernel add_index failed: CUDA_ERROR_") != std::string::npos);
  }
  CHECK(refusal([&] { gpu()->load(good, "no_such_kernel"); }).find("CUDA_ERROR_NOT_FOUND") !=
        std::string::npos);
  CHECK(gpu()->load(good, "add_index")->registers() > 0);
}

TEST_CASE("a graph replays its launches, undisturbed by loads and releases during its capture") {
  const std::vector<std::byte> cubin = compile(gpu()->info().arch());
  const auto kernel = gpu()->load(cubin, "add_index");
  const DeviceBuffer buffer = gpu()->allocate(kBytes);
  const std::vector<int> zeros(kCount);
  gpu()->copy_to_device(buffer.data(), zeros.data(), kBytes);
  const Params params{static_cast<int*>(buffer.data()), -2};
  const Stream stream = gpu()->create_stream();

  auto old_kernel = gpu()->load(cubin, "add_index");
  std::optional<DeviceBuffer> old_buffer = gpu()->allocate(kBytes);
  const auto make_and_release = [&] {
    CHECK(gpu()->load(cubin, "add_index")->registers() > 0);
    CHECK(gpu()->allocate(kBytes).size() == kBytes);
    old_kernel.reset();
    old_buffer.reset();
  };
  const Graph graph = gpu()->capture(stream.get(), [&] {
    kernel->launch(&params, kBlocks, kThreads, stream.get());
    make_and_release();
    std::thread(make_and_release).join();
    kernel->launch(&params, kBlocks, kThreads, stream.get());
  });
  CHECK(graph.nodes() == 2);
  CHECK(read(buffer) == zeros);
  graph.launch(stream.get());
  CHECK(graph.time(stream.get(), 3) > 0);
  CHECK(read(buffer) == expected(-2, 8));
}

TEST_CASE("a capture whose work throws leaves the stream usable") {
  const auto kernel = gpu()->load(compile(gpu()->info().arch()), "add_index");
  const DeviceBuffer buffer = gpu()->allocate(kBytes);
  const Stream stream = gpu()->create_stream();
  gpu()->fill_async(buffer.data(), 0, kBytes, stream.get());
  const Params params{static_cast<int*>(buffer.data()), 1};
  CHECK_THROWS_WITH_AS(gpu()->capture(stream.get(),
                                      [&] {
                                        kernel->launch(&params, kBlocks, kThreads, stream.get());
                                        throw std::out_of_range("the work's own");
                                      }),
                       "the work's own", std::out_of_range);
  kernel->launch(&params, kBlocks, kThreads, stream.get());
  stream.synchronize();
  CHECK(read(buffer) == expected(1, 1));
}

}  // namespace ropejit
