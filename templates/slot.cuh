#pragma once

#include "angle.cuh"
#include "warp.cuh"

// From a thread to its work. A row is one head of one token; a thread does the same to
// kHeadsPerThread() rows of a token. A slot is a place in such a group: first those that rotate,
// then those that copy what passes through. With Pairing::exchange two lanes of a warp share a
// slot: side 0 has an access in the first half of the rotary part, side 1 the one that pairs with
// it.

ROPE_CONSTANT bool kExchange() { return kPairing() == Pairing::exchange; }
ROPE_CONSTANT u32 kSides() { return kExchange() ? 2 : 1; }
ROPE_CONSTANT int kElementBytes() { return int(sizeof(Element)); }
ROPE_CONSTANT int kRotaryAccess() { return kRotaryBytes() / kElementBytes(); }  // elements
// Elements that a thread loads in a row, and how many such runs it loads of a head.
ROPE_CONSTANT int kPiece() {
  return kLayout() == Layout::interleaved && kRotaryAccess() < 2 ? 2 : kRotaryAccess();
}
ROPE_CONSTANT int kHalfBytes() { return kPiece() * kElementBytes() / 2; }  // half of a piece
ROPE_CONSTANT int kRuns() { return kLayout() == Layout::sequential && !kExchange() ? 2 : 1; }
ROPE_CONSTANT int kPairs() { return kPiece() * kRuns() / 2; }  // that a thread rotates of a head
ROPE_CONSTANT int kRotaryRun() {
  return kLayout() == Layout::interleaved ? kRotaryDim() : kRotaryDim() / 2;
}
ROPE_CONSTANT u32 kRotarySlots() { return kRotaryRun() / kPiece(); }
ROPE_CONSTANT int kPassPiece() { return kPassBytes() / kElementBytes(); }
ROPE_CONSTANT u32 kPassPieces() { return (kHeadDim() - kRotaryDim()) / kPassPiece(); }
// Whether elements of a row may lie apart: where every access is of one element, as in the kernel
// that takes the calls which keep no promise of alignment.
ROPE_CONSTANT bool kAnyDimStride() { return kRotaryAccess() == 1 && kPassPiece() == 1; }
ROPE_CONSTANT u32 kSlots() { return kRotarySlots() + (kPassPieces() + kSides() - 1) / kSides(); }

static_assert(kHeadDim() % 2 == 0 && kRotaryDim() % 2 == 0, "head_dim and rotary_dim are even");
static_assert(kRotaryDim() <= kHeadDim(), "rotary_dim is at most head_dim");
static_assert(kRotaryBytes() >= kElementBytes(), "an access holds at least one element");
static_assert(kRotaryRun() % kPiece() == 0, "the pieces fill the rotary part");
static_assert((kHeadDim() - kRotaryDim()) % kPassPiece() == 0,
              "the pieces fill the rest of the head");
static_assert(!kExchange() || kLayout() == Layout::sequential, "neighbours need no exchange");
static_assert(!kExchange() || kPiece() >= 2, "lanes exchange half of their pieces");

// What a block works on.
struct BlockWork {
  bool on_q;  // else on k
  u32 block;  // of that tensor's
};

// Blocks come in chunks: first those of q, then those of k. Memory streams fastest one tensor at a
// time, so there is one chunk, but for tables, whose rows should still be in the cache when k needs
// them as well.
ROPE_DEVICE BlockWork work_of(const RopeParams& p, u32 block) {
  u32 chunk = 0;
  if constexpr (kAngles() == AngleSource::table) chunk = divide(block, p.chunk_divisor);
  const u32 in_chunk = block - chunk * (p.q_blocks + p.k_blocks);
  if (in_chunk < p.q_blocks) return {true, chunk * p.q_blocks + in_chunk};
  return {false, chunk * p.k_blocks + in_chunk - p.q_blocks};
}

template <class Index>
struct Slot {
  Index token;
  u32 group;    // of heads
  u32 place;    // in the group's slots
  u32 side;     // 0, but for the second lane of an exchange
  bool inside;  // the last block may have threads to spare
};

template <class Index>
ROPE_DEVICE Slot<Index> slot_of(const RopeTensor& tensor, u32 groups, u32 block, u32 thread,
                                u32 block_threads) {
  Slot<Index> slot{};
  u32 in_block = thread;
  if constexpr (kExchange()) {
    slot.side = thread / kHalfWarp() % 2;
    in_block = thread / kWarpLanes() * kHalfWarp() + thread % kHalfWarp();
  }
  const Index index = Index(block) * (block_threads / kSides()) + in_block;
  slot.inside = index < Index(tensor.slots);
  // Nothing passes through in place, so nothing copies.
  const bool in_place = kPassPieces() == 0 || tensor.in == tensor.out;
  const Index row = in_place ? index / kRotarySlots() : index / kSlots();
  slot.place = u32(index - row * (in_place ? kRotarySlots() : kSlots()));
  slot.token = row / groups;
  slot.group = u32(row - slot.token * groups);
  return slot;
}
