#pragma once

// The one argument of a kernel. The host includes this file too, so both sides agree on every byte.

#if defined(__CUDACC__)
#define ROPE_HOST_DEVICE __host__ __device__
#else
#define ROPE_HOST_DEVICE
#endif

namespace ropejit::kernel {

// One tensor, read through `in` and written through `out`: [batch, seq, heads, head_dim] with
// strides in elements and a contiguous last dimension. In place: in == out, and the strides agree.
struct RopeTensor {
  const void* in;
  void* out;
  long long in_batch, in_seq, in_head;
  long long out_batch, out_seq, out_head;
  unsigned long long rows;  // tokens x heads; 0: the tensor is absent
  unsigned blocks;          // of the grid that work on it
};

// Exact division of n < 2^31 by a divisor of 1 to 2^31 that is known before the launch: with
// shift = ceil(log2 divisor) and multiplier = ceil(2^(32+shift) / divisor) - 2^32,
// n / divisor = (n + mulhi(n, multiplier)) >> shift
// (Granlund and Montgomery 1994, "Division by Invariant Integers using Multiplication", fig. 4.1).
struct Divisor {
  unsigned multiplier;
  unsigned shift;
};

struct RopeParams {
  RopeTensor q, k;                  // q's blocks come first in the grid, then k's
  const unsigned long long* turns;  // AngleSource::exact: [rotary_dim / 2], 16-byte aligned
  const float* cos;                 // AngleSource::table: row p of [table_rows, table_stride]
  const float* sin;
  long long table_rows, table_stride;
  const void* positions;  // see PositionMode in ropejit/spec.h
  const void* cu_seqlens;
  long long position_stride;  // token_ids: elements between the ids of two sequences
  long long offset;           // PositionMode::offset
  unsigned long long batch, seq;
  Divisor seq_divisor;  // of seq, where indices are narrow
  float attention_factor;
  unsigned wide;           // 1: q or k has 2^31 rows or more
  unsigned table_aligned;  // 1: every row of cos and sin starts at a multiple of 16 bytes
};

// A block takes whole rows (one head of one token), so that the index within a block divides by
// constants.
ROPE_HOST_DEVICE constexpr unsigned rows_per_block(int block_threads, int threads_per_row) {
  return block_threads < threads_per_row ? 1u : unsigned(block_threads / threads_per_row);
}

}  // namespace ropejit::kernel
