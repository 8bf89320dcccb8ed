#pragma once

#include "config.cuh"
#include "params.cuh"

// Numbers: 16-bit types are raw bits, converted by one instruction on the device. Every function
// has a plain C++ branch as well, so that a host compiler can execute a kernel thread by thread.

#if defined(__CUDACC__)
#define ROPE_DEVICE __device__ __forceinline__
#else
#define ROPE_DEVICE inline
#endif

using namespace ropejit::kernel;

using u16 = unsigned short;
using u32 = unsigned;
using u64 = unsigned long long;
using i32 = int;
using i64 = long long;

template <class Unsigned>
struct SignedOf {
  using type = i64;
};
template <>
struct SignedOf<u32> {
  using type = i32;
};
template <class Unsigned>
using Signed = typename SignedOf<Unsigned>::type;

template <Dtype dtype>
struct Storage {
  using type = u16;
};
template <>
struct Storage<Dtype::float32> {
  using type = float;
};
// One element of q or k in memory.
using Element = typename Storage<kDtype()>::type;

ROPE_DEVICE u32 bits_of(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return __builtin_bit_cast(u32, x);
#endif
}

ROPE_DEVICE float float_of(u32 bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return __builtin_bit_cast(float, bits);
#endif
}

// a * b + c, rounded once. Contraction is switched off, so this is the only fused operation and a
// kernel gives the same bits however the compiler schedules it.
ROPE_DEVICE float fused(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

ROPE_DEVICE u32 mul_high(u32 a, u32 b) { return u32((u64(a) * b) >> 32); }

ROPE_DEVICE u32 divide(u32 n, Divisor by) { return (n + mul_high(n, by.multiplier)) >> by.shift; }

#if !defined(__CUDA_ARCH__)
// IEEE 754 binary16 by integer arithmetic: the exponent's bias moves from 15 to 127 by a product
// that is exact also for subnormal numbers.
inline float host_half_to_float(u16 h) {
  const u32 magnitude = u32(h & 0x7fff) << 13;
  const bool special = (h & 0x7c00) == 0x7c00;
  const float value = special ? float_of(magnitude | 0x7f800000u) : float_of(magnitude) * 0x1p112f;
  return float_of(bits_of(value) | (u32(h & 0x8000) << 16));
}

inline u16 host_float_to_half(float x) {
  const u32 sign = (bits_of(x) >> 16) & 0x8000;
  const u32 magnitude = bits_of(x) & 0x7fffffff;
  if (magnitude > 0x7f800000u) return u16(sign | 0x7fff);
  if (magnitude >= 0x477ff000u) return u16(sign | 0x7c00);  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {                            // subnormal: the sum rounds at 2^-24
    return u16(sign | (bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f)));
  }
  const u32 rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return u16(sign | ((rounded - (112u << 23)) >> 13));
}

inline u16 host_float_to_bfloat16(float x) {
  const u32 bits = bits_of(x);
  if ((bits & 0x7fffffff) > 0x7f800000u) return 0x7fff;
  return u16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
#endif

ROPE_DEVICE float to_float(float x) { return x; }

ROPE_DEVICE float to_float(u16 x) {
  if constexpr (kDtype() == Dtype::bfloat16) {
    return float_of(u32(x) << 16);
  } else {
#if defined(__CUDA_ARCH__)
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x));
    return value;
#else
    return host_half_to_float(x);
#endif
  }
}

// Rounds to nearest, ties to even.
ROPE_DEVICE Element from_float(float x) {
  if constexpr (kDtype() == Dtype::float32) {
    return Element(x);
  } else {
#if defined(__CUDA_ARCH__)
    u16 value;
    if constexpr (kDtype() == Dtype::float16) {
      asm("cvt.rn.f16.f32 %0, %1;" : "=h"(value) : "f"(x));
    } else {
#if __CUDA_ARCH__ >= 800
      asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(value) : "f"(x));
#else
      const u32 bits = bits_of(x);
      const bool nan = (bits & 0x7fffffff) > 0x7f800000u;
      value = nan ? u16(0x7fff) : u16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
#endif
    }
    return value;
#else
    return kDtype() == Dtype::float16 ? host_float_to_half(x) : host_float_to_bfloat16(x);
#endif
  }
}

// Two elements of 16 bits as one word.
ROPE_DEVICE u32 pack_halves(float lower, float upper) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  u32 word;
  if constexpr (kDtype() == Dtype::bfloat16) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(upper), "f"(lower));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(upper), "f"(lower));
  }
  return word;
#else
  return u32(from_float(upper)) << 16 | u32(from_float(lower));
#endif
}
