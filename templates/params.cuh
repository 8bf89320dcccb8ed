#pragma once

// The one argument of a kernel. The host includes this file too, so both sides agree on every byte.

namespace ropejit::kernel {

// One tensor, read through `in` and written through `out`: [batch, seq, heads, head_dim] with
// strides in elements; those of the last dimension are RopeParams::q_dim and k_dim. In place:
// in == out, and the strides agree.
struct RopeTensor {
  const void* in;
  void* out;
  long long in_seq, in_head, out_seq, out_head;
  unsigned long long slots;  // tokens x groups of heads x slots of a group; 0: it is absent
  long long in_batch, out_batch;
};

// From one element of a row to the next, in elements. Only kernels of one-element accesses read it.
struct DimStrides {
  long long in, out;
};

// Exact division of n < 2^31 by a divisor of 1 to 2^31 that is known before the launch: with
// shift = ceil(log2 divisor) and multiplier = ceil(2^(32+shift) / divisor) - 2^32,
// n / divisor = (n + mulhi(n, multiplier)) >> shift
// (Granlund and Montgomery 1994, "Division by Invariant Integers using Multiplication", fig. 4.1).
struct Divisor {
  unsigned multiplier;
  unsigned shift;
};

// What every thread reads comes first: a kernel's parameters are fetched line by line. No field is
// preceded by padding, so that every byte of a launch is one that somebody wrote.
struct RopeParams {
  unsigned q_blocks;                // of a chunk of the grid: q's come first, then k's
  unsigned wide;                    // 1: indices or offsets of elements may leave 31 bits
  const unsigned long long* turns;  // AngleSource::exact: [rotary_dim / 2], 16-byte aligned
  long long offset;                 // PositionMode::offset
  unsigned long long batch, seq;
  Divisor seq_divisor;  // of seq, where indices are narrow
  float attention_factor;
  unsigned dependent_launch;  // 1: the kernel behind may be released early
  unsigned early_positions;   // 1: positions may be read before the kernels ahead finish
  unsigned k_blocks;          // of a chunk
  RopeTensor q, k;
  Divisor chunk_divisor;  // AngleSource::table: of a chunk's blocks; else there is one chunk
  const float* cos;       // AngleSource::table: row p of [table_rows, table_stride]
  const float* sin;
  long long table_rows, table_stride;
  const void* positions;  // see PositionMode in ropejit/spec.h
  const void* cu_seqlens;
  long long position_stride;  // token_ids: elements between the ids of two sequences
  DimStrides q_dim, k_dim;    // last: most kernels find 1 there, and do not look
};

}  // namespace ropejit::kernel
