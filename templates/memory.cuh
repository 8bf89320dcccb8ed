#pragma once

#include "scalar.cuh"

// Loads and stores of `kCount` consecutive values by accesses of `kBytes` bytes each.

template <int kBytes>
struct Access;
template <>
struct Access<2> {
  using type = u16;
};
template <>
struct Access<4> {
  using type = u32;
};
template <>
struct Access<8> {
  struct alignas(8) type {
    u32 word[2];
  };
};
template <>
struct Access<16> {
  struct alignas(16) type {
    u32 word[4];
  };
};
template <>
struct Access<32> {
  struct alignas(32) type {
    u32 word[8];
  };
};

template <class T, int kCount>
struct alignas(kCount * sizeof(T) >= 32   ? 32
               : kCount * sizeof(T) >= 16 ? 16
                                          : kCount * sizeof(T)) Values {
  T value[kCount];
};

#if !defined(__CUDA_ARCH__)
// Accesses on the host whose address is not a multiple of their width: on a device each would be a
// fault. Static: an inline variable would be one for all kernels in a process.
static long long host_misaligned_accesses = 0;

template <int kBytes>
inline void host_check(const void* address) {
  host_misaligned_accesses += __builtin_bit_cast(unsigned long, address) % kBytes != 0;
}
#endif

// The widest access that divides `kBytes`, 4 to 16.
template <int kBytes>
constexpr int kWidestAccess = kBytes % 16 == 0  ? 16
                              : kBytes % 8 == 0 ? 8
                                                : 4;

#if defined(__CUDA_ARCH__)
template <class Word>
ROPE_DEVICE Word load_word(const void* from) {
#if __CUDA_ARCH__ >= 1000
  if constexpr (sizeof(Word) == 32) {
    Word to;
    u32* w = to.word;
    asm volatile("ld.global.v8.b32 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8];"
                 : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3]), "=r"(w[4]), "=r"(w[5]),
                   "=r"(w[6]), "=r"(w[7])
                 : "l"(from)
                 : "memory");
    return to;
  }
#endif
  return *static_cast<const Word*>(from);
}

template <class Word>
ROPE_DEVICE void store_word(void* to, const Word& from) {
#if __CUDA_ARCH__ >= 1000
  if constexpr (sizeof(Word) == 32) {
    const u32* w = from.word;
    asm volatile("st.global.v8.b32 [%0], {%1, %2, %3, %4, %5, %6, %7, %8};"
                 :
                 : "l"(to), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"(w[4]), "r"(w[5]),
                   "r"(w[6]), "r"(w[7])
                 : "memory");
    return;
  }
#endif
  *static_cast<Word*>(to) = from;
}
#endif

template <int kBytes, class T, int kCount>
ROPE_DEVICE void load(Values<T, kCount>& to, const T* from) {
  static_assert(kCount * sizeof(T) % kBytes == 0, "the values are a whole number of accesses");
  using Word = typename Access<kBytes>::type;
  constexpr int kAccesses = int(kCount * sizeof(T)) / kBytes;
#if defined(__CUDA_ARCH__)
#pragma unroll
  for (int i = 0; i < kAccesses; ++i) {
    reinterpret_cast<Word*>(&to)[i] = load_word<Word>(reinterpret_cast<const Word*>(from) + i);
  }
#else
  host_check<kBytes>(from);
  __builtin_memcpy(&to, from, kAccesses * sizeof(Word));
#endif
}

template <int kBytes, class T, int kCount>
ROPE_DEVICE void store(T* to, const Values<T, kCount>& from) {
  static_assert(kCount * sizeof(T) % kBytes == 0, "the values are a whole number of accesses");
  using Word = typename Access<kBytes>::type;
  constexpr int kAccesses = int(kCount * sizeof(T)) / kBytes;
#if defined(__CUDA_ARCH__)
#pragma unroll
  for (int i = 0; i < kAccesses; ++i) {
    store_word(reinterpret_cast<Word*>(to) + i, reinterpret_cast<const Word*>(&from)[i]);
  }
#else
  host_check<kBytes>(to);
  __builtin_memcpy(to, &from, kAccesses * sizeof(Word));
#endif
}
