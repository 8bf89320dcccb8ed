#pragma once

// A named constant: a function, because NVRTC gives a constexpr variable a place in device memory,
// used or not, and a driver takes ten times as long to load a kernel that has any.
#if defined(__CUDACC__)
#define ROPE_CONSTANT __host__ __device__ constexpr
#else
#define ROPE_CONSTANT constexpr
#endif

// The values that the constants of config.cuh take. The generator prints these names.
enum class Dtype { float32, float16, bfloat16 };
enum class Layout { interleaved, sequential };
enum class PositionMode { offset, sequence_offsets, token_ids, ragged };
enum class AngleSource { exact, table };
enum class Direction { forward, inverse };
enum class Pairing { registers, exchange };
