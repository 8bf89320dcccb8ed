#pragma once

#include "params.cuh"
#include "scalar.cuh"

// From a token to its sequence and its position.

// Index: u32 where every index of a token, slot and element, and every product of one with a
// stride, fits into 31 bits, as the host has found out; else u64.
template <class Index>
struct Token {
  Index batch;  // which sequence
  Index seq;    // which token of it; ragged: which of all tokens
  i64 position;
  bool present;  // ragged: whether it belongs to a sequence
};

ROPE_DEVICE i64 index_at(const void* indices, u64 i) {
  if constexpr (kIndexBytes() == 8) {
    return static_cast<const i64*>(indices)[i];
  } else {
    return static_cast<const i32*>(indices)[i];
  }
}

// The last sequence b with cu_seqlens[b] <= token, by bisection; empty sequences are passed over.
// Reads entries 0 to `batch` only, whatever they hold.
ROPE_DEVICE u64 sequence_of(const void* cu_seqlens, u64 batch, i64 token) {
  u64 low = 0, high = batch;
  while (high - low > 1) {
    const u64 middle = low + (high - low) / 2;
    if (index_at(cu_seqlens, middle) <= token) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

template <class Index>
ROPE_DEVICE Token<Index> ragged_token(const RopeParams& p, Index token) {
  const bool present = p.batch > 0 && i64(token) >= index_at(p.cu_seqlens, 0) &&
                       i64(token) < index_at(p.cu_seqlens, p.batch);
  if (!present) return {0, token, 0, false};
  const u64 sequence = sequence_of(p.cu_seqlens, p.batch, i64(token));
  const u64 first = p.positions == nullptr ? 0 : u64(index_at(p.positions, sequence));
  return {0, token, i64(first + token - u64(index_at(p.cu_seqlens, sequence))), true};
}

ROPE_DEVICE u32 sequence_of_token(const RopeParams& p, u32 token) {
  return divide(token, p.seq_divisor);
}
ROPE_DEVICE u64 sequence_of_token(const RopeParams& p, u64 token) { return token / p.seq; }

// Sums are formed in unsigned arithmetic: positions wrap modulo 2^64 as the phase does.
template <class Index>
ROPE_DEVICE Token<Index> token_at(const RopeParams& p, Index token) {
  if constexpr (kPositions() == PositionMode::ragged) return ragged_token(p, token);
  Index batch = 0, seq = token;
  if (p.batch > 1) {
    batch = sequence_of_token(p, token);
    seq = token - batch * Index(p.seq);
  }
  if constexpr (kPositions() == PositionMode::offset) {
    return {batch, seq, i64(u64(p.offset) + seq), true};
  } else if constexpr (kPositions() == PositionMode::sequence_offsets) {
    return {batch, seq, i64(u64(index_at(p.positions, batch)) + seq), true};
  } else {
    return {batch, seq, index_at(p.positions, u64(i64(batch) * p.position_stride) + seq), true};
  }
}
