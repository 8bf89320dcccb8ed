// Rotary position embedding of q and k in one launch.
//
//   y[a] = f (x[a] cos φ - x[b] sin φ),   y[b] = f (x[b] cos φ + x[a] sin φ)    for each pair (a,
//   b),
//
// φ = position x frequency of the pair, f the attention factor; elements from kRotaryDim on are
// copied. With kRotate = false nothing turns: the same bytes move by the same accesses.
//
// Thread mapping: slot.cuh. The slots of a tensor follow each other in the order token, group of
// heads, place; a block takes a contiguous run of them. All blocks of q come before all blocks of
// k, because memory streams fastest one tensor at a time.

#include "config.cuh"
#include "params.cuh"
#include "position.cuh"
#include "rotate.cuh"
#include "slot.cuh"

// Of a tensor with `kHeads` heads: the rows of a thread, and its groups of heads.
template <int kHeads>
constexpr int kRows = kHeadsPerThread() < kHeads ? kHeadsPerThread() : kHeads;
template <int kHeads>
constexpr u32 kGroups = (kHeads + kRows<kHeads> - 1) / kRows<kHeads>;

// One thread, from its loads to its stores: load(), which forms the angles too; with an exchange,
// swap() of every row; rotate(); with an exchange, swap() again; store(). On the host all lanes of
// a warp take each step together.
template <int kHeads, class Index>
struct RopeThread {
  Piece<kPiece()> x[kRows<kHeads>][kRuns()];
  CosSin<kPairs()> angle;
  Element* out;  // this thread's first element of its first row
  int rows;      // fewer than kRows in a last group of heads
  u32 side;
  bool rotates;

  ROPE_DEVICE void load(const RopeParams& p, const RopeTensor& tensor, const DimStrides& dim,
                        u32 block, u32 thread, u32 block_threads);
  ROPE_DEVICE void rotate();
  ROPE_DEVICE void store(const RopeTensor& tensor, const DimStrides& dim) const;

  // An exchange swaps halves of two partners' pieces of a row: the upper one of side 0, in the
  // first half of the rotary part, and the lower one of side 1. Then either holds whole pairs, of
  // its lower and its upper half; the same swap brings back what is the other's.
  ROPE_DEVICE Words<kHalfBytes()> sent(int row) const {
    Words<kHalfBytes()> half;
    if constexpr (kHalfBytes() == 2) {
      half.word[0] = side ? x[row][0].word[0] : x[row][0].word[0] >> 16;
    } else {
#pragma unroll
      for (int i = 0; i < kHalfBytes() / 4; ++i) {
        const Piece<kPiece()>& piece = x[row][0];
        half.word[i] = side ? piece.word[i] : piece.word[kHalfBytes() / 4 + i];
      }
    }
    return half;
  }
  ROPE_DEVICE void receive(int row, const Words<kHalfBytes()>& half) {
    u32* word = x[row][0].word;
    if constexpr (kHalfBytes() == 2) {
      word[0] = side ? (word[0] & 0xffff0000u) | (half.word[0] & 0xffff)
                     : (word[0] & 0xffff) | half.word[0] << 16;
    } else {
#pragma unroll
      for (int i = 0; i < kHalfBytes() / 4; ++i) {
        u32& lower = word[i];
        u32& upper = word[kHalfBytes() / 4 + i];
        lower = side ? half.word[i] : lower;
        upper = side ? upper : half.word[i];
      }
    }
  }

 private:
  // From one element of a row to the next. Most kernels know it to be 1.
  static ROPE_DEVICE Signed<Index> dim_stride(long long stride) {
    return kAnyDimStride() ? Signed<Index>(stride) : 1;
  }
  // From one access of a row to the next, in bytes.
  static ROPE_DEVICE i64 step(long long dim_stride) {
    return kAnyDimStride() ? dim_stride * kElementBytes() : kRotaryBytes();
  }

  ROPE_DEVICE void copy_rest(const RopeTensor& tensor, const DimStrides& dim, const Element* in,
                             u32 piece);
};

template <int kHeads, class Index>
ROPE_DEVICE void RopeThread<kHeads, Index>::load(const RopeParams& p, const RopeTensor& tensor,
                                                 const DimStrides& dim, u32 block, u32 thread,
                                                 u32 block_threads) {
  const Slot<Index> slot = slot_of<Index>(tensor, kGroups<kHeads>, block, thread, block_threads);
  side = slot.side;
  rotates = slot.inside && slot.place < kRotarySlots();
  const int first = slot.place < kRotarySlots() ? int(slot.place) * kPiece() : 0;
  const int first_pair =
      kLayout() == Layout::interleaved ? first / 2 : first + int(side) * (kPiece() / 2);
  AngleInput<kPairs()> angle_input;
  if constexpr (kRotate()) load_turns(angle_input, p, first_pair);

  // Positions of PositionMode::offset are in the parameters.
  const bool early = kPositions() == PositionMode::offset || p.early_positions;
  if (!early) wait_for_kernels_ahead();
  Token<Index> token{};
  if (kPositions() == PositionMode::offset || slot.inside) token = token_at(p, slot.token);
  if (early) wait_for_kernels_ahead();
  rotates = rotates && token.present;
  if constexpr (kRotate()) load_table_row(angle_input, p, token.position, first_pair);

  const auto head = Signed<Index>(slot.group * kRows<kHeads>);
  rows = kHeads % kRows<kHeads> == 0 || head + kRows<kHeads> <= kHeads ? kRows<kHeads>
                                                                       : kHeads - int(head);
  const auto seq = Signed<Index>(token.seq);
  auto in_at = seq * Signed<Index>(tensor.in_seq) + head * Signed<Index>(tensor.in_head);
  auto out_at = seq * Signed<Index>(tensor.out_seq) + head * Signed<Index>(tensor.out_head);
  if (p.batch > 1) {
    in_at += Signed<Index>(token.batch) * Signed<Index>(tensor.in_batch);
    out_at += Signed<Index>(token.batch) * Signed<Index>(tensor.out_batch);
  }
  const Element* in = static_cast<const Element*>(tensor.in) + in_at;
  out = static_cast<Element*>(tensor.out) + out_at;
  if (rotates) {
    const int at = first + int(side) * (kRotaryDim() / 2);
    in += at * dim_stride(dim.in);
    out += at * dim_stride(dim.out);
#pragma unroll
    for (int row = 0; row < kRows<kHeads>; ++row) {
      if (row >= rows) break;
#pragma unroll
      for (int run = 0; run < kRuns(); ++run) {
        const auto run_at = run * (kRotaryDim() / 2) * dim_stride(dim.in);
        ::load<kRotaryBytes()>(x[row][run], in + row * tensor.in_head + run_at, step(dim.in));
      }
    }
  } else if constexpr (kPassPieces() > 0) {
    const u32 piece = (slot.place - kRotarySlots()) * kSides() + side;
    if (slot.inside && token.present) copy_rest(tensor, dim, in, piece);
  }
  if (p.dependent_launch) release_kernel_behind();
  // While the loads are under way.
  if constexpr (kRotate()) angle = angles_of(p, angle_input, token.position);
}

template <int kHeads, class Index>
ROPE_DEVICE void RopeThread<kHeads, Index>::copy_rest(const RopeTensor& tensor,
                                                      const DimStrides& dim, const Element* in,
                                                      u32 piece) {
  if (piece >= kPassPieces()) return;  // the last slot may have one for one side only
  const int at = kRotaryDim() + int(piece) * kPassPiece();
  Piece<kPassPiece()> values[kRows<kHeads>];
#pragma unroll
  for (int row = 0; row < kRows<kHeads>; ++row) {
    const Element* from = in + row * tensor.in_head + at * dim_stride(dim.in);
    if (row < rows) ::load<kPassBytes()>(values[row], from);
  }
#pragma unroll
  for (int row = 0; row < kRows<kHeads>; ++row) {
    Element* to = out + row * tensor.out_head + at * dim_stride(dim.out);
    if (row < rows) ::store<kPassBytes()>(to, values[row]);
  }
}

template <int kHeads, class Index>
ROPE_DEVICE void RopeThread<kHeads, Index>::rotate() {
#pragma unroll
  for (int row = 0; row < kRows<kHeads>; ++row) {
    if constexpr (kLayout() == Layout::interleaved) {
      rotate_neighbours<kPiece()>(x[row][0], angle);
    } else if constexpr (kExchange()) {
      rotate_halves<kPiece()>(x[row][0], angle);
    } else {
      rotate_pieces<kPiece()>(x[row][0], x[row][kRuns() - 1], angle);
    }
  }
}

template <int kHeads, class Index>
ROPE_DEVICE void RopeThread<kHeads, Index>::store(const RopeTensor& tensor,
                                                  const DimStrides& dim) const {
  if (!rotates) return;
#pragma unroll
  for (int row = 0; row < kRows<kHeads>; ++row) {
    if (row >= rows) break;
#pragma unroll
    for (int run = 0; run < kRuns(); ++run) {
      const auto run_at = run * (kRotaryDim() / 2) * dim_stride(dim.out);
      ::store<kRotaryBytes()>(out + row * tensor.out_head + run_at, x[row][run], step(dim.out));
    }
  }
}

#if defined(__CUDACC__)
template <int kHeads, class Index>
ROPE_DEVICE void swap_rows(RopeThread<kHeads, Index>& thread) {
#if defined(__CUDA_ARCH__)
#pragma unroll
  for (int row = 0; row < kRows<kHeads>; ++row) thread.receive(row, exchange(thread.sent(row)));
#endif
}

template <int kHeads, class Index>
ROPE_DEVICE void rope(const RopeParams& p, const RopeTensor& tensor, const DimStrides& dim,
                      u32 block) {
  RopeThread<kHeads, Index> thread;
  thread.load(p, tensor, dim, block, threadIdx.x, blockDim.x);
  if constexpr (kRotate()) {
    if constexpr (kExchange()) swap_rows(thread);
    thread.rotate();
    if constexpr (kExchange()) swap_rows(thread);
  }
  thread.store(tensor, dim);
}

template <class Index>
ROPE_DEVICE void rope(const RopeParams& p, u32 block) {
  const BlockWork work = work_of(p, block);
  if (work.on_q) {
    rope<kQHeads(), Index>(p, p.q, p.q_dim, work.block);
  } else {
    rope<kKvHeads(), Index>(p, p.k, p.k_dim, work.block);
  }
}

extern "C" __global__ void __launch_bounds__(kMostBlockThreads())
    ropejit_rope(const __grid_constant__ RopeParams p) {
  if (p.wide) {
    rope<u64>(p, blockIdx.x);
  } else {
    rope<u32>(p, blockIdx.x);
  }
}
#else
template <int kHeads, class Index>
void swap_rows(RopeThread<kHeads, Index> (&lanes)[kWarpLanes()]) {
  for (int row = 0; row < kRows<kHeads>; ++row) {
    Words<kHalfBytes()> sent[kWarpLanes()];
    for (u32 lane = 0; lane < kWarpLanes(); ++lane) sent[lane] = lanes[lane].sent(row);
    for (u32 lane = 0; lane < kWarpLanes(); ++lane) {
      lanes[lane].receive(row, sent[lane ^ kHalfWarp()]);
    }
  }
}

template <int kHeads, class Index>
void rope(const RopeParams& p, const RopeTensor& tensor, const DimStrides& dim, u32 block, u32 warp,
          u32 block_threads) {
  RopeThread<kHeads, Index> lanes[kWarpLanes()] = {};
  for (u32 lane = 0; lane < kWarpLanes(); ++lane) {
    lanes[lane].load(p, tensor, dim, block, warp * kWarpLanes() + lane, block_threads);
  }
  if constexpr (kRotate()) {
    if constexpr (kExchange()) swap_rows(lanes);
    for (RopeThread<kHeads, Index>& lane : lanes) lane.rotate();
    if constexpr (kExchange()) swap_rows(lanes);
  }
  for (const RopeThread<kHeads, Index>& lane : lanes) lane.store(tensor, dim);
}

template <class Index>
void rope(const RopeParams& p, u32 block, u32 warp, u32 block_threads) {
  const BlockWork work = work_of(p, block);
  if (work.on_q) {
    rope<kQHeads(), Index>(p, p.q, p.q_dim, work.block, warp, block_threads);
  } else {
    rope<kKvHeads(), Index>(p, p.k, p.k_dim, work.block, warp, block_threads);
  }
}

// Executes the grid on the host, one warp after the other. Returns how many accesses were
// misaligned.
extern "C" long long ropejit_rope_on_host(const RopeParams* p, u32 grid, u32 block_threads) {
  host_misaligned_accesses = 0;
  for (u32 block = 0; block < grid; ++block) {
    for (u32 warp = 0; warp < block_threads / kWarpLanes(); ++warp) {
      if (p->wide) {
        rope<u64>(*p, block, warp, block_threads);
      } else {
        rope<u32>(*p, block, warp, block_threads);
      }
    }
  }
  return host_misaligned_accesses;
}
#endif
