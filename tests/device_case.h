#ifndef ROPEJIT_TESTS_DEVICE_CASE_H_
#define ROPEJIT_TESTS_DEVICE_CASE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "ropejit/frequencies.h"
#include "src/driver.h"
#include "tools/case_positions.h"
#include "tools/device_mirror.h"
#include "tools/verify.h"
#include "tools/verify_check.h"

namespace ropejit {

/// A case whose arguments point to a mirror on the device.
struct OnDevice {
  OnDevice(const Device& device, VerifyCase of)
      : test(std::move(of)),
        before(make_memory(test)),
        mirror(device, before.blocks),
        args(mirror.translate(args_of(test, before), before.blocks)) {}

  std::string problem() const {
    CaseMemory after = before;
    mirror.download(after.blocks);
    return check_outputs(test, before, after).problem;
  }

  VerifyCase test;
  CaseMemory before;
  DeviceMirror mirror;
  RopeArgs args;
};

/// Llama-3-8B with tokens enough for several blocks.
inline VerifyCase llama_case(PositionMode positions, std::int64_t start) {
  VerifyCase test;
  test.spec.head_dim = 128;
  test.spec.q_heads = 32;
  test.spec.kv_heads = 8;
  test.spec.positions = positions;
  test.frequencies = default_frequencies(128, 500000.0L);
  test.batch = 3;
  test.seq = 40;
  set_positions(test, start);
  return test;
}

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_DEVICE_CASE_H_
