#include "src/driver.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "ropejit/error.h"
#include "tests/refusal.h"
#include "tests/stub_cuda.h"
#include "tests/stub_fixture.h"

namespace ropejit {
namespace {

// CUresult values, from CUDA's documentation.
constexpr int kStubLibrary = 34;
constexpr int kNoDevice = 100;
constexpr int kUnknownToAll = 1000;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Whether the documented search finds a libcuda on this machine.
bool has_driver() {
  return !contains(refusal([] { Driver::open(""); }), "cannot open");
}

}  // namespace

TEST_CASE("error codes have the names that the header spells") {
  CHECK(name(ErrorCode::invalid_argument) == "invalid_argument");
  CHECK(name(ErrorCode::unsupported) == "unsupported");
  CHECK(name(ErrorCode::not_cached) == "not_cached");
  CHECK(name(ErrorCode::compile_failed) == "compile_failed");
  CHECK(name(ErrorCode::driver) == "driver");
  CHECK(name(ErrorCode::io) == "io");
}

TEST_CASE("without libcuda the error lists every path that was tried" *
          doctest::skip(has_driver())) {
  const std::string error = refusal([] { Driver::open(""); });
  CHECK(error.starts_with("driver: "));
  for (const char* path :
       {"\n  libcuda.so.1: ", "/usr/local/nvidia/lib64/libcuda.so.1: ",
        "/usr/lib/x86_64-linux-gnu/libcuda.so.1: ", "/usr/lib/wsl/lib/libcuda.so.1: ",
        "/usr/lib64/libcuda.so.1: ", "/usr/lib/aarch64-linux-gnu/libcuda.so.1: "}) {
    CAPTURE(error);
    CHECK(contains(error, path));
  }
}

TEST_CASE("a named libcuda is the only one tried") {
  const std::string error = refusal([] { Driver::open("/no/such/libcuda.so.1"); });
  CHECK(error.starts_with("driver: "));
  CHECK(contains(error, "/no/such/libcuda.so.1: cannot open shared object file"));
  CHECK(!contains(error, "/usr/lib"));
}

TEST_CASE("a library that is not libcuda is refused by the name of the symbol that it lacks") {
  const std::string error = refusal([] { Driver::open("libm.so.6"); });
  CHECK(error.starts_with("driver: "));
  CHECK(contains(error, "libm.so.6: undefined symbol: cuDriverGetVersion"));
}

TEST_CASE("a driver older than 12.0 is refused with both versions") {
  StubFixture stub;
  stub.cuda.driver_version = 11080;
  const std::string error = refusal([&] { stub.device(); });
  CHECK(error.starts_with("driver: "));
  CHECK(contains(error, "supports CUDA 11.8"));
  CHECK(contains(error, "for CUDA 12.0 or newer"));
  CHECK(stub.cuda.calls["cuInit"] == 0);
}

TEST_CASE("a toolkit's stub library is passed over with its own error") {
  StubFixture stub;
  stub.cuda.fail("cuDriverGetVersion", kStubLibrary);
  const std::string error = refusal([&] { stub.device(); });
  CHECK(error.starts_with("driver: "));
  CHECK(contains(error, "tried:\n  " ROPEJIT_STUB_CUDA ": cuDriverGetVersion failed: "
                        "CUDA_ERROR_STUB_LIBRARY (CUDA driver is a stub library)"));
}

TEST_CASE("a failing cuInit is an error with the library and its version") {
  StubFixture stub;
  stub.cuda.fail("cuInit", kNoDevice);
  const std::string error = refusal([&] { stub.device(); });
  CHECK(error.starts_with("driver: "));
  CHECK(error ==
        "driver: cuInit failed: CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected), CUDA "
        "error 100; "
        "libcuda is " ROPEJIT_STUB_CUDA ", for CUDA 13.0");
}

TEST_CASE("the driver says which file and version it is") {
  StubFixture stub;
  const std::shared_ptr<const Driver> driver = Driver::open(ROPEJIT_STUB_CUDA);
  CHECK(driver->version() == 13000);
  CHECK(driver->path() == ROPEJIT_STUB_CUDA);
  CHECK(driver->device_count() == 1);
}

TEST_CASE("a device says what it is") {
  StubFixture stub;
  stub.cuda.major = 12;
  stub.cuda.minor = 1;
  const DeviceInfo info = stub.device()->info();
  CHECK(info.ordinal == 0);
  CHECK(info.name == "Stub GPU");
  CHECK(info.arch() == "sm_121");
  CHECK(info.sm_count == 132);
  CHECK(info.l2_bytes == 52432896);
  CHECK(info.memory_bytes == 85899345920);
  const DeviceClocks clocks = stub.device()->driver().clocks(0);
  CHECK(clocks.core == 1980000);
  CHECK(clocks.memory == 0);  // an attribute that this driver does not know
}

TEST_CASE("a device that does not exist is an invalid argument") {
  StubFixture stub;
  stub.cuda.device_count = 2;
  const std::shared_ptr<const Driver> driver = Driver::open(ROPEJIT_STUB_CUDA);
  CHECK(Device::open(driver, 1)->info().ordinal == 1);
  for (const int ordinal : {-1, 2}) {
    const std::string error = refusal([&] { Device::open(driver, ordinal); });
    CHECK(error.starts_with("invalid_argument: "));
    CHECK(contains(error, "device: " + std::to_string(ordinal)));
    CHECK(contains(error, "less than 2"));
  }
}

TEST_CASE("an error that CUDA has no name for keeps its number") {
  StubFixture stub;
  stub.cuda.fail("cuDevicePrimaryCtxRetain", kUnknownToAll);
  const std::string error = refusal([&] { stub.device(); });
  CHECK(error.starts_with("driver: "));
  CHECK(contains(error, "cuDevicePrimaryCtxRetain failed"));
  CHECK(contains(error, "CUDA error 1000"));
}

}  // namespace ropejit
