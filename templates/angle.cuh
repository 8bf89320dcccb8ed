#pragma once

#include "memory.cuh"
#include "params.cuh"

// Cosine and sine of `kCount` consecutive pairs at one position, times the attention factor.

template <int kCount>
struct CosSin {
  float cos[kCount];
  float sin[kCount];
};

// The angle of a pair in units of 2^-32 turn, in [-1/2, 1/2) turn: bits 32 to 63 of position x
// turns. Exact but for the truncation, at any position.
ROPE_DEVICE i32 phase_of(i64 position, u32 turns_low, u32 turns_high) {
  const u32 low = u32(u64(position));
  const u32 high = u32(u64(position) >> 32);
  return i32(mul_high(low, turns_low) + low * turns_high + high * turns_low);
}

// Within 2^-24 of cosine and sine. The quarter turn is split off in integers, so what is rounded to
// float is at most an eighth of a turn. Minimax polynomials on [-1/8, 1/8] turn, relative
// error 3.3e-9 (sine) and absolute error 5.4e-11 (cosine) before rounding; 2 pi is split in two so
// that the leading product loses nothing.
ROPE_DEVICE void accurate_cos_sin(i32 phase, float& cosine, float& sine) {
  const u32 quarter = (u32(phase) + 0x20000000u) >> 30;
  const float t = float(i32(u32(phase) - (quarter << 30))) * 0x1p-32f;
  const float u = t * t;
  const float tail =
      fused(fused(fused(-75.3935650066f, u, 81.5923536211f), u, -41.3416614554f), u, -1.951926e-7f);
  const float s = fused(t, 6.283185482f, t * tail);
  const float c = fused(fused(fused(fused(59.2459640741f, u, -85.4437417283f), u, 64.9393264717f),
                              u, -19.7392086937f),
                        u, 1.0f);
  const float swapped_cos = (quarter & 1) ? s : c;
  const float swapped_sin = (quarter & 1) ? c : s;
  cosine = float_of(bits_of(swapped_cos) ^ (((quarter + 1) & 2) << 30));
  sine = float_of(bits_of(swapped_sin) ^ ((quarter & 2) << 30));
}

// 16-bit results do not see more than the special function unit gives: an absolute error of at most
// 2^-20.5 on [-pi, pi] (PTX ISA, sin.approx.f32 and cos.approx.f32). The host takes the accurate
// branch.
ROPE_DEVICE void cos_sin(i32 phase, float& cosine, float& sine) {
#if defined(__CUDA_ARCH__)
  if constexpr (kDtype() != Dtype::float32) {
    const float angle = float(phase) * 1.46291807926715968e-9f;  // 2 pi / 2^32
    asm("cos.approx.f32 %0, %1;" : "=f"(cosine) : "f"(angle));
    asm("sin.approx.f32 %0, %1;" : "=f"(sine) : "f"(angle));
    return;
  }
#endif
  accurate_cos_sin(phase, cosine, sine);
}

// What the angles of `kCount` consecutive pairs come from: loaded as early as can be, and by
// straight-line code, since a branch has to wait for what is loaded in it.
template <int kCount>
struct AngleInput {
  Words<8 * kCount> turns;           // AngleSource::exact
  Words<4 * kCount> cosines, sines;  // AngleSource::table
};

// Frequencies do not depend on the position, and no kernel ahead writes them.
template <int kCount>
ROPE_DEVICE void load_turns(AngleInput<kCount>& to, const RopeParams& p, int first_pair) {
  if constexpr (kAngles() == AngleSource::exact) {
    load<kWidestAccess<kCount * 8>>(to.turns, p.turns + first_pair);
  }
}

// A row outside the table is not read: the pair becomes NaN, which nobody can overlook.
template <int kCount>
ROPE_DEVICE void load_table_row(AngleInput<kCount>& to, const RopeParams& p, i64 position,
                                int first_pair) {
  if constexpr (kAngles() == AngleSource::table) {
    constexpr int kAccess =
        kWidestAccess<kCount * 4> < kTableBytes() ? kWidestAccess<kCount * 4> : kTableBytes();
#pragma unroll
    for (int i = 0; i < kCount; ++i) to.cosines.word[i] = to.sines.word[i] = 0x7fffffffu;
    if (position < 0 || position >= p.table_rows) return;
    const i64 at = position * p.table_stride + first_pair;
    load<kAccess>(to.cosines, p.cos + at);
    load<kAccess>(to.sines, p.sin + at);
  }
}

template <int kCount>
ROPE_DEVICE void exact_angles(CosSin<kCount>& out, const AngleInput<kCount>& from, i64 position) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const i32 phase = phase_of(position, from.turns.word[2 * i], from.turns.word[2 * i + 1]);
    cos_sin(phase, out.cos[i], out.sin[i]);
  }
}

template <int kCount>
ROPE_DEVICE void table_angles(CosSin<kCount>& out, const AngleInput<kCount>& from) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    out.cos[i] = float_of(from.cosines.word[i]);
    out.sin[i] = float_of(from.sines.word[i]);
  }
}

template <int kCount>
ROPE_DEVICE CosSin<kCount> angles_of(const RopeParams& p, const AngleInput<kCount>& from,
                                     i64 position) {
  CosSin<kCount> out;
  if constexpr (kAngles() == AngleSource::exact) {
    exact_angles(out, from, position);
  } else {
    table_angles(out, from);
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    out.cos[i] *= p.attention_factor;
    out.sin[i] *= kDirection() == Direction::forward ? p.attention_factor : -p.attention_factor;
  }
  return out;
}
