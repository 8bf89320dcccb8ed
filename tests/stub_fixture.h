#ifndef ROPEJIT_TESTS_STUB_FIXTURE_H_
#define ROPEJIT_TESTS_STUB_FIXTURE_H_

#include <doctest/doctest.h>

#include <memory>

#include "src/driver.h"
#include "tests/stub_cuda.h"

namespace ropejit {

/// For one test case: the stub as a fresh process finds it, and at the end the check that all was
/// released and that the thread's contexts are as they were.
struct StubFixture {
  StubFixture() { cuda.reset(); }
  ~StubFixture() {
    CHECK(cuda.live == StubLive());
    CHECK(stub_cuda_contexts().empty());
    CHECK(cuda.calls["cuCtxPushCurrent_v2"] == cuda.calls["cuCtxPopCurrent_v2"]);
    cuda.reset();
  }
  StubFixture(const StubFixture&) = delete;
  StubFixture& operator=(const StubFixture&) = delete;

  std::shared_ptr<const Device> device() {
    return Device::open(Driver::open(ROPEJIT_STUB_CUDA), 0);
  }

  StubCuda& cuda = stub_cuda();
};

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_STUB_FIXTURE_H_
