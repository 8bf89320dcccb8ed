#pragma once

#include "angle.cuh"

// The rotation of the pairs that one thread holds in registers. Three roundings: x cos, then the
// fused difference; the other component likewise.
ROPE_DEVICE void rotate_pair(Element& a, Element& b, float cosine, float sine) {
  const float x = to_float(a);
  const float y = to_float(b);
  a = from_float(fused(-y, sine, x * cosine));
  b = from_float(fused(y, cosine, x * sine));
}

// Pairs of neighbours: `values` holds kCount / 2 of them.
template <int kCount>
ROPE_DEVICE void rotate_neighbours(Values<Element, kCount>& values,
                                   const CosSin<kCount / 2>& angle) {
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) {
    rotate_pair(values.value[2 * i], values.value[2 * i + 1], angle.cos[i], angle.sin[i]);
  }
}

// Pair i is a[i], b[i].
template <int kCount>
ROPE_DEVICE void rotate_halves(Element* a, Element* b, const CosSin<kCount>& angle) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) rotate_pair(a[i], b[i], angle.cos[i], angle.sin[i]);
}
