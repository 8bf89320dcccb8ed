// Rotary position embedding of q and k in one launch.
//
//   y[a] = f (x[a] cos φ - x[b] sin φ),   y[b] = f (x[b] cos φ + x[a] sin φ)    for each pair (a, b),
//
// φ = position x frequency of the pair, f the attention factor; elements from kRotaryDim on are
// copied. With kRotate = false nothing turns: the same bytes move by the same accesses.
//
// Thread mapping: slot.cuh. The slots of a tensor follow each other in the order token, group of
// heads, place; a block takes a contiguous run of them. All blocks of q come before all blocks of k,
// because memory streams fastest one tensor at a time.

#include "config.cuh"
#include "params.cuh"
#include "position.cuh"
#include "rotate.cuh"
#include "slot.cuh"

// One thread, from its loads to its stores: load(); with an exchange, swap() of every row; rotate();
// with an exchange, swap() again; store(). On the host all lanes of a warp take each step together.
template <int kHeads>
struct RopeThread {
  static constexpr int kRows = kHeadsPerThread < kHeads ? kHeadsPerThread : kHeads;
  static constexpr u32 kGroups = (kHeads + kRows - 1) / kRows;
  static constexpr int kHalf = kPiece > 1 ? kPiece / 2 : 1;

  Values<Element, kPiece> x[kRows][kRuns];
  AngleInput<kPairs> angle_input;
  i64 position;
  Element* out;  // this thread's first element of its first row
  int rows;      // fewer than kRows in a last group of heads
  int first_pair;
  u32 side;
  bool rotates;

  ROPE_DEVICE void load(const RopeParams& p, const RopeTensor& tensor, u32 block, u32 thread,
                        u32 block_threads);
  ROPE_DEVICE void rotate(const RopeParams& p);
  ROPE_DEVICE void store(const RopeTensor& tensor) const;

  // The half of a row's piece that the partner needs, in either direction: of the first half's
  // piece, side 0 rotates the lower half with the partner's lower one, and gets back what it gave.
  ROPE_DEVICE Values<Element, kHalf> sent(int row) const {
    Values<Element, kHalf> half;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      half.value[i] = side ? x[row][0].value[i] : x[row][0].value[kHalf + i];
    }
    return half;
  }
  ROPE_DEVICE void receive(int row, const Values<Element, kHalf>& half) {
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      Element& lower = x[row][0].value[i];
      Element& upper = x[row][0].value[kHalf + i];
      lower = side ? half.value[i] : lower;
      upper = side ? upper : half.value[i];
    }
  }

 private:
  ROPE_DEVICE void copy_rest(const RopeTensor& tensor, const Element* in, u32 piece);
};

template <int kHeads>
ROPE_DEVICE void RopeThread<kHeads>::load(const RopeParams& p, const RopeTensor& tensor, u32 block,
                                          u32 thread, u32 block_threads) {
  const Slot slot = slot_of(p, tensor, kGroups, block, thread, block_threads);
  side = slot.side;
  rotates = slot.inside && slot.place < kRotarySlots;
  const int first = int(slot.place) * kPiece;
  first_pair = kLayout == Layout::interleaved ? first / 2 : first + int(side) * (kPiece / 2);
  if (kRotate && rotates) load_angle_input(angle_input, p, first_pair);

  // Positions of PositionMode::offset are in the parameters.
  const bool early = kPositions == PositionMode::offset || p.early_positions;
  if (!early) wait_for_kernels_ahead();
  Token token{};
  if (slot.inside) token = token_at(p, slot.token);
  if (early) wait_for_kernels_ahead();
  rotates = rotates && token.present;
  position = token.position;

  const i64 head = i64(slot.group) * kRows;
  rows = kHeads % kRows == 0 || head + kRows <= kHeads ? kRows : kHeads - int(head);
  const i64 batch = i64(token.batch);
  const i64 seq = i64(token.seq);
  const Element* in = static_cast<const Element*>(tensor.in) + batch * tensor.in_batch +
                      seq * tensor.in_seq + head * tensor.in_head;
  out = static_cast<Element*>(tensor.out) + batch * tensor.out_batch + seq * tensor.out_seq +
        head * tensor.out_head;
  if (rotates) {
    const int at = first + int(side) * (kRotaryDim / 2);
    in += at;
    out += at;
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row >= rows) break;
#pragma unroll
      for (int run = 0; run < kRuns; ++run) {
        ::load<kRotaryBytes>(x[row][run], in + row * tensor.in_head + run * (kRotaryDim / 2));
      }
    }
  } else if constexpr (kPassPieces > 0) {
    if (token.present) copy_rest(tensor, in, (slot.place - kRotarySlots) * kSides + side);
  }
  release_kernel_behind();
}

template <int kHeads>
ROPE_DEVICE void RopeThread<kHeads>::copy_rest(const RopeTensor& tensor, const Element* in,
                                               u32 piece) {
  if (piece >= kPassPieces) return;  // the last slot may have one for one side only
  const int at = kRotaryDim + int(piece) * kPassPiece;
  Values<Element, kPassPiece> values[kRows];
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    if (row < rows) ::load<kPassBytes>(values[row], in + row * tensor.in_head + at);
  }
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    if (row < rows) ::store<kPassBytes>(out + row * tensor.out_head + at, values[row]);
  }
}

template <int kHeads>
ROPE_DEVICE void RopeThread<kHeads>::rotate(const RopeParams& p) {
  if (!rotates) return;
  const CosSin<kPairs> angle = angles_of(p, angle_input, position, first_pair);
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    Values<Element, kPiece>* piece = x[row];
    if constexpr (kLayout == Layout::interleaved) {
      rotate_neighbours(piece[0], angle);
    } else if constexpr (kExchange) {
      rotate_halves(piece[0].value, piece[0].value + kHalf, angle);
    } else {
      rotate_halves(piece[0].value, piece[kRuns - 1].value, angle);
    }
  }
}

template <int kHeads>
ROPE_DEVICE void RopeThread<kHeads>::store(const RopeTensor& tensor) const {
  if (!rotates) return;
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    if (row >= rows) break;
#pragma unroll
    for (int run = 0; run < kRuns; ++run) {
      ::store<kRotaryBytes>(out + row * tensor.out_head + run * (kRotaryDim / 2), x[row][run]);
    }
  }
}

#if defined(__CUDACC__)
template <int kHeads>
ROPE_DEVICE void swap_rows(RopeThread<kHeads>& thread) {
#if defined(__CUDA_ARCH__)
#pragma unroll
  for (int row = 0; row < thread.kRows; ++row) thread.receive(row, exchange(thread.sent(row)));
#endif
}

template <int kHeads>
ROPE_DEVICE void rope(const RopeParams& p, const RopeTensor& tensor, u32 block) {
  RopeThread<kHeads> thread;
  thread.load(p, tensor, block, threadIdx.x, blockDim.x);
  if constexpr (kRotate) {
    if constexpr (kExchange) swap_rows(thread);
    thread.rotate(p);
    if constexpr (kExchange) swap_rows(thread);
  }
  thread.store(tensor);
}

extern "C" __global__ void __launch_bounds__(kMostBlockThreads)
    ropejit_rope(const __grid_constant__ RopeParams p) {
  if (blockIdx.x < p.q.blocks) {
    rope<kQHeads>(p, p.q, blockIdx.x);
  } else {
    rope<kKvHeads>(p, p.k, blockIdx.x - p.q.blocks);
  }
}
#else
template <int kHeads>
void swap_rows(RopeThread<kHeads> (&lanes)[kWarpLanes]) {
  for (int row = 0; row < lanes[0].kRows; ++row) {
    Values<Element, RopeThread<kHeads>::kHalf> sent[kWarpLanes];
    for (u32 lane = 0; lane < kWarpLanes; ++lane) sent[lane] = lanes[lane].sent(row);
    for (u32 lane = 0; lane < kWarpLanes; ++lane) {
      lanes[lane].receive(row, sent[lane ^ kHalfWarp]);
    }
  }
}

template <int kHeads>
void rope(const RopeParams& p, const RopeTensor& tensor, u32 block, u32 warp, u32 block_threads) {
  RopeThread<kHeads> lanes[kWarpLanes] = {};
  for (u32 lane = 0; lane < kWarpLanes; ++lane) {
    lanes[lane].load(p, tensor, block, warp * kWarpLanes + lane, block_threads);
  }
  if constexpr (kRotate) {
    if constexpr (kExchange) swap_rows(lanes);
    for (RopeThread<kHeads>& lane : lanes) lane.rotate(p);
    if constexpr (kExchange) swap_rows(lanes);
  }
  for (const RopeThread<kHeads>& lane : lanes) lane.store(tensor);
}

// Executes the grid on the host, one warp after the other. Returns how many accesses were
// misaligned.
extern "C" long long ropejit_rope_on_host(const RopeParams* p, u32 grid, u32 block_threads) {
  host_misaligned_accesses = 0;
  for (u32 block = 0; block < grid; ++block) {
    for (u32 warp = 0; warp < block_threads / kWarpLanes; ++warp) {
      if (block < p->q.blocks) {
        rope<kQHeads>(*p, p->q, block, warp, block_threads);
      } else {
        rope<kKvHeads>(*p, p->k, block - p->q.blocks, warp, block_threads);
      }
    }
  }
  return host_misaligned_accesses;
}
#endif
