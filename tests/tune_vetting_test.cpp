#include "tools/tune_vetting.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <vector>

#include "ropejit/error.h"
#include "tests/runtime_fixture.h"

// On the stub of libcuda, whose kernels compute nothing: other executors carry the cases out.
namespace ropejit {
namespace {

/// Computes what is right, unless `spoil` says otherwise of a config, and counts.
class FakeDevice : public ReferenceExecutor {
 public:
  enum class Fault { none, wrong_result, refusal };
  void execute(const VerifyCase& test, const RopeArgs& args, std::span<Block> blocks) override {
    ++calls;
    CHECK(test.config.has_value());
    const Fault fault = faults ? faults(*test.config) : Fault::none;
    if (fault == Fault::refusal) throw Error(ErrorCode::driver, "cuLaunchKernelEx: refused");
    ReferenceExecutor::execute(test, args, blocks);
    if (fault == Fault::wrong_result) static_cast<std::byte*>(args.q_out.data)[1] ^= std::byte{64};
  }

  std::function<Fault(const LaunchConfig&)> faults;
  std::atomic<int> calls = 0;
};

constexpr LaunchConfig kPlain{128, 8, Pairing::registers, 1};
constexpr LaunchConfig kLarge{256, 8, Pairing::registers, 1};  // the same kernel
constexpr LaunchConfig kOther{128, 16, Pairing::exchange, 2};

struct VettingFixture : RuntimeFixture {
  Runtime runtime{options};
  FakeDevice device;
  CandidateCheck check{runtime, 0, device, 3};
  TuneCell cell{spec, frequencies_of(spec), 16};

  std::vector<Verdict> verdicts(const std::vector<LaunchConfig>& configs) {
    std::vector<Verdict> found;
    for (const Vetting& vetting : check.vet(cell, configs)) found.push_back(vetting.verdict);
    return found;
  }
};

}  // namespace

TEST_CASE_FIXTURE(VettingFixture, "a candidate is compiled once per kernel, and verified" *
                                      doctest::skip(no_nvrtc())) {
  const std::vector<LaunchConfig> configs = {kPlain, kLarge, kOther};
  const std::vector<Vetting> vettings = check.vet(cell, configs);
  REQUIRE(vettings.size() == 3);
  for (const Vetting& vetting : vettings) {
    CHECK(vetting.verdict == Verdict::correct);
    CHECK(vetting.message.empty());
    CHECK(vetting.compile_ms > 0);
    CHECK(vetting.verify_ms > 0);
  }
  CHECK(runtime.stats().compiles == 3);  // with the one for misaligned calls
  CHECK(device.calls == 6);              // in place and out of place
}

TEST_CASE_FIXTURE(VettingFixture, "what was vetted for a spec is known, whatever the token count" *
                                      doctest::skip(no_nvrtc())) {
  verdicts({kPlain});
  cell.tokens = 4096;
  verdicts({kPlain, kLarge});
  CHECK(device.calls == 4);
  cell.spec.direction = Direction::inverse;
  verdicts({kPlain});
  CHECK(device.calls == 6);
}

TEST_CASE_FIXTURE(VettingFixture, "a wrong result and a refusal are told apart, by config" *
                                      doctest::skip(no_nvrtc())) {
  device.faults = [](const LaunchConfig& config) {
    if (config == kLarge) return FakeDevice::Fault::wrong_result;
    return config == kOther ? FakeDevice::Fault::refusal : FakeDevice::Fault::none;
  };
  const std::vector<LaunchConfig> configs = {kPlain, kLarge, kOther};
  const std::vector<Vetting> vettings = check.vet(cell, configs);
  CHECK(vettings[0].verdict == Verdict::correct);
  CHECK(vettings[1].verdict == Verdict::correctness);
  CHECK(contains(vettings[1].message, "q_out"));
  CHECK(vettings[2].verdict == Verdict::runtime);
  CHECK(vettings[2].message == "cuLaunchKernelEx: refused");
}

TEST_CASE_FIXTURE(VettingFixture, "a kernel that the driver does not load is not verified" *
                                      doctest::skip(no_nvrtc())) {
  cuda.fail("cuLibraryLoadData", 209);
  const std::vector<LaunchConfig> configs = {kPlain, kLarge};
  const std::vector<Vetting> vettings = check.vet(cell, configs);
  for (const Vetting& vetting : vettings) {
    CHECK(vetting.verdict == Verdict::runtime);
    CHECK(contains(vetting.message, "cuLibraryLoadData"));
  }
  CHECK(device.calls == 0);
}

TEST_CASE_FIXTURE(VettingFixture, "kernels may be built in advance" * doctest::skip(no_nvrtc())) {
  const std::vector<LaunchConfig> space = {kPlain, kLarge, kOther};
  check.build(cell, space);
  CHECK(runtime.stats().compiles == 3);
  CHECK(device.calls == 0);
  CHECK(verdicts({kOther, kPlain}) == std::vector{Verdict::correct, Verdict::correct});
  CHECK(runtime.stats().compiles == 3);
}

TEST_CASE_FIXTURE(RuntimeFixture, "what no kernel could be built without is no verdict") {
  options.nvrtc_library = "/no/such/libnvrtc.so";
  FakeDevice device;
  const TuneCell cell{spec, frequencies_of(spec), 16};
  const std::vector<LaunchConfig> configs = {kPlain, kOther};
  {
    Runtime runtime(options);
    CandidateCheck check(runtime, 0, device, 2);
    CHECK(refusal([&] { check.vet(cell, configs); }).starts_with("compile_failed: "));
    CHECK(refusal([&] { check.vet(cell, configs); }).starts_with("compile_failed: "));
  }
  options.allow_compile = false;
  Runtime runtime(options);
  CandidateCheck check(runtime, 0, device, 2);
  CHECK(refusal([&] { check.vet(cell, configs); }).starts_with("not_cached: "));
  CHECK(device.calls == 0);
}

}  // namespace ropejit
