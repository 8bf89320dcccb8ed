#include <ropejit/error.h>
#include <ropejit/reference.h>
#include <ropejit/runtime.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <iostream>

namespace {

/// One token at position 1, one head of two elements, turned by a quarter: (1, 2) becomes (-2, 1).
bool rotates_by_a_quarter_turn() {
  ropejit::RopeSpec spec;
  spec.head_dim = 2;
  spec.q_heads = 1;
  spec.kv_heads = 1;
  spec.dtype = ropejit::Dtype::float32;
  spec.alignment = 4;
  ropejit::validate(spec);

  std::array<float, 2> q = {1.0f, 2.0f};
  ropejit::RopeArgs args;
  args.q = ropejit::dense_bshd(q.data(), 1, 1, spec.head_dim);
  args.q_out = args.q;
  args.seq = 1;
  args.offset = 1;
  ropejit::Frequencies frequencies;
  frequencies.turns = {std::uint64_t{1} << 62};
  ropejit::apply_reference(spec, frequencies, args);
  return std::abs(q[0] + 2.0f) < 1e-6f && std::abs(q[1] - 1.0f) < 1e-6f;
}

bool refuses_an_odd_head_dim() {
  ropejit::RopeSpec spec;
  spec.head_dim = 3;
  try {
    ropejit::validate(spec);
    return false;
  } catch (const ropejit::Error& error) {
    return error.code() == ropejit::ErrorCode::invalid_argument;
  }
}

/// Making a Runtime opens neither libcuda nor NVRTC, but links everything that could.
bool links_the_runtime() {
  ropejit::Runtime runtime{ropejit::RuntimeOptions{}};
  return runtime.stats().compiles == 0 && !runtime.stats().nvrtc_opened;
}

}  // namespace

int main() {
  const bool good = rotates_by_a_quarter_turn() && refuses_an_odd_head_dim() && links_the_runtime();
  std::cout << (good ? "consumer: good\n" : "consumer: a check failed\n");
  return good ? 0 : 1;
}
