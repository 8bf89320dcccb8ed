#ifndef ROPEJIT_SRC_FP32_ANGLE_H_
#define ROPEJIT_SRC_FP32_ANGLE_H_

#include <cstdint>

namespace ropejit {

struct Fp32CosSin {
  float cos;
  float sin;
};

/// Of the angle float32(position) · radians, rounded to float32: the floats nearest to its cosine
/// and sine. Nearest because the double in between is, but for one value in some 2^28.
Fp32CosSin fp32_cos_sin(float radians, std::int64_t position) noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_SRC_FP32_ANGLE_H_
