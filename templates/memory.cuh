#pragma once

#include "config.cuh"
#include "scalar.cuh"

// Loads and stores of `kBytes` bytes by accesses of `kAccess` bytes each, `step` bytes from one to
// the next: consecutive ones, unless the caller says else. Registers hold 32-bit words, whatever
// the elements: so what travels is never taken apart.

template <int kBytes>
struct Words {
  u32 word[(kBytes + 3) / 4];  // of 2 bytes: the lower half of one
};

template <int kAccess>
struct alignas(kAccess) Vector {
  u32 word[kAccess / 4];
};

// The widest access that divides `kBytes`, 4 to 16.
template <int kBytes>
constexpr int kWidestAccess = kBytes % 16 == 0  ? 16
                              : kBytes % 8 == 0 ? 8
                                                : 4;

#if defined(__CUDA_ARCH__)
template <int kAccess>
ROPE_DEVICE Vector<kAccess> load_vector(const void* from) {
#if __CUDA_ARCH__ >= 1000
  if constexpr (kAccess == 32) {
    Vector<kAccess> to;
    u32* w = to.word;
    asm volatile("ld.global.v8.b32 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8];"
                 : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3]), "=r"(w[4]), "=r"(w[5]),
                   "=r"(w[6]), "=r"(w[7])
                 : "l"(from)
                 : "memory");
    return to;
  }
#endif
  return *static_cast<const Vector<kAccess>*>(from);
}

// Marked as the first to leave the L2 cache.
ROPE_DEVICE void stream_vector(void* to, const Vector<4>& from) {
  asm volatile("st.global.cs.b32 [%0], %1;" : : "l"(to), "r"(from.word[0]) : "memory");
}
ROPE_DEVICE void stream_vector(void* to, const Vector<8>& from) {
  const u32* w = from.word;
  asm volatile("st.global.cs.v2.b32 [%0], {%1, %2};" : : "l"(to), "r"(w[0]), "r"(w[1]) : "memory");
}
ROPE_DEVICE void stream_vector(void* to, const Vector<16>& from) {
  const u32* w = from.word;
  asm volatile("st.global.cs.v4.b32 [%0], {%1, %2, %3, %4};"
               :
               : "l"(to), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3])
               : "memory");
}

template <int kAccess>
ROPE_DEVICE void store_vector(void* to, const Vector<kAccess>& from) {
#if __CUDA_ARCH__ >= 1000
  if constexpr (kAccess == 32) {
    const u32* w = from.word;
    asm volatile("st.global.v8.b32 [%0], {%1, %2, %3, %4, %5, %6, %7, %8};"
                 :
                 : "l"(to), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"(w[4]), "r"(w[5]),
                   "r"(w[6]), "r"(w[7])
                 : "memory");
    return;
  }
#endif
  if constexpr (kStreamingStores() && kAccess <= 16) {
    stream_vector(to, from);
  } else {
    *static_cast<Vector<kAccess>*>(to) = from;
  }
}
#else
// Accesses on the host whose address is not a multiple of their width: on a device each would be a
// fault. Static: an inline variable would be one for all kernels in a process.
static long long host_misaligned_accesses = 0;

template <int kBytes>
inline void host_check(const void* address) {
  host_misaligned_accesses += __builtin_bit_cast(unsigned long, address) % kBytes != 0;
}
#endif

template <int kAccess, int kBytes>
ROPE_DEVICE void load(Words<kBytes>& to, const void* from, i64 step = kAccess) {
  static_assert(kBytes % kAccess == 0, "a whole number of accesses");
#pragma unroll
  for (int i = 0; i < kBytes / kAccess; ++i) {
    const char* address = static_cast<const char*>(from) + i * step;
#if !defined(__CUDA_ARCH__)
    host_check<kAccess>(address);
    __builtin_memcpy(reinterpret_cast<char*>(to.word) + i * kAccess, address, kAccess);
#else
    if constexpr (kAccess == 2) {
      const u32 half = *reinterpret_cast<const u16*>(address);
      to.word[i / 2] = i % 2 == 0 ? half : to.word[i / 2] | half << 16;
    } else {
      const Vector<kAccess> vector = load_vector<kAccess>(address);
#pragma unroll
      for (int j = 0; j < kAccess / 4; ++j) to.word[i * (kAccess / 4) + j] = vector.word[j];
    }
#endif
  }
}

template <int kAccess, int kBytes>
ROPE_DEVICE void store(void* to, const Words<kBytes>& from, i64 step = kAccess) {
  static_assert(kBytes % kAccess == 0, "a whole number of accesses");
#pragma unroll
  for (int i = 0; i < kBytes / kAccess; ++i) {
    char* address = static_cast<char*>(to) + i * step;
#if !defined(__CUDA_ARCH__)
    host_check<kAccess>(address);
    __builtin_memcpy(address, reinterpret_cast<const char*>(from.word) + i * kAccess, kAccess);
#else
    if constexpr (kAccess == 2) {
      *reinterpret_cast<u16*>(address) = u16(from.word[i / 2] >> (i % 2 * 16));
    } else {
      Vector<kAccess> vector;
#pragma unroll
      for (int j = 0; j < kAccess / 4; ++j) vector.word[j] = from.word[i * (kAccess / 4) + j];
      store_vector<kAccess>(address, vector);
    }
#endif
  }
}
