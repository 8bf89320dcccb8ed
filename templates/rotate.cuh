#pragma once

#include "angle.cuh"

// The rotation of the pairs that one thread holds in registers.

// Elements `i` and `i + 1` of 16 bits are the halves of a word, the first one the lower.
template <int kCount>
using Piece = Words<kCount* int(sizeof(Element))>;

template <int kCount>
ROPE_DEVICE float element(const Piece<kCount>& piece, int i) {
  if constexpr (sizeof(Element) == 4) {
    return float_of(piece.word[i]);
  } else {
    return to_float(u16(piece.word[i / 2] >> (i % 2 * 16)));
  }
}

// The numbers of a piece, rounded to elements.
template <int kCount>
ROPE_DEVICE void pack(Piece<kCount>& to, const float (&from)[kCount]) {
  if constexpr (sizeof(Element) == 4) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) to.word[i] = bits_of(from[i]);
  } else if constexpr (kCount == 1) {
    to.word[0] = from_float(from[0]);
  } else {
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) to.word[i] = pack_halves(from[2 * i], from[2 * i + 1]);
  }
}

// Three roundings: x cos, then the fused difference; the other component likewise.
ROPE_DEVICE void rotate_pair(float& a, float& b, float cosine, float sine) {
  const float x = a;
  a = fused(-b, sine, x * cosine);
  b = fused(b, cosine, x * sine);
}

// Pairs of neighbours: `piece` holds kCount / 2 of them.
template <int kCount>
ROPE_DEVICE void rotate_neighbours(Piece<kCount>& piece, const CosSin<kCount / 2>& angle) {
  float x[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) x[i] = element<kCount>(piece, i);
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) {
    rotate_pair(x[2 * i], x[2 * i + 1], angle.cos[i], angle.sin[i]);
  }
  pack(piece, x);
}

// Pair i is element i of `a` and of `b`.
template <int kCount>
ROPE_DEVICE void rotate_pieces(Piece<kCount>& a, Piece<kCount>& b, const CosSin<kCount>& angle) {
  float x[kCount], y[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    x[i] = element<kCount>(a, i);
    y[i] = element<kCount>(b, i);
    rotate_pair(x[i], y[i], angle.cos[i], angle.sin[i]);
  }
  pack(a, x);
  pack(b, y);
}

// Pair i is elements i and kCount / 2 + i of one piece.
template <int kCount>
ROPE_DEVICE void rotate_halves(Piece<kCount>& piece, const CosSin<kCount / 2>& angle) {
  float x[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) x[i] = element<kCount>(piece, i);
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) {
    rotate_pair(x[i], x[kCount / 2 + i], angle.cos[i], angle.sin[i]);
  }
  pack(piece, x);
}
