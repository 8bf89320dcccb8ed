// Rotary position embedding of q and k in one launch.
//
//   y[a] = f (x[a] cos φ - x[b] sin φ),   y[b] = f (x[b] cos φ + x[a] sin φ)     for each pair (a,
//   b),
//
// φ = position x frequency of the pair, f the attention factor; elements from kRotaryDim on are
// copied.
//
// Thread mapping: a row is one head of one token. A row takes kRotaryThreads threads that rotate,
// each one piece (interleaved: one run of neighbours; sequential: one run in either half), and,
// unless it is rotated in place, kPassThreads more that copy. A block takes whole rows, in the
// order token, head; all blocks of q come before all blocks of k, because memory streams fastest
// one tensor at a time.

#include "config.cuh"
#include "params.cuh"
#include "position.cuh"
#include "rotate.cuh"

constexpr int kElementBytes = int(sizeof(Element));
constexpr int kRotaryAccess = kRotaryBytes / kElementBytes;  // elements
constexpr int kPiece = kLayout == Layout::interleaved && kRotaryAccess < 2 ? 2 : kRotaryAccess;
constexpr int kRotaryRun = kLayout == Layout::interleaved ? kRotaryDim : kRotaryDim / 2;
constexpr int kRotaryThreads = kRotaryRun / kPiece;
constexpr int kPassPiece = kPassBytes / kElementBytes;
constexpr int kPassThreads = (kHeadDim - kRotaryDim) / kPassPiece;
constexpr int kRowThreads = kRotaryThreads + kPassThreads;
constexpr u32 kBlockRows = rows_per_block(kBlockThreads, kRowThreads);
constexpr u32 kBlockRowsInPlace = rows_per_block(kBlockThreads, kRotaryThreads);

static_assert(kHeadDim % 2 == 0 && kRotaryDim % 2 == 0, "head_dim and rotary_dim are even");
static_assert(kRotaryDim <= kHeadDim, "rotary_dim is at most head_dim");
static_assert(kRotaryBytes >= kElementBytes, "an access holds at least one element");
static_assert(kRotaryRun % kPiece == 0, "the pieces fill the rotary part");
static_assert((kHeadDim - kRotaryDim) % kPassPiece == 0, "the pieces fill the rest of the head");
static_assert(kRowThreads <= 1024, "a row fits in a block");

// A template, so that the other layout's branch, which may have no pairs, is not instantiated.
template <Layout layout, int kCount>
ROPE_DEVICE void rotate_piece(const RopeParams& p, const Element* in, Element* out, i64 position,
                              int piece) {
  const int first = piece * kCount;
  if constexpr (layout == Layout::interleaved) {
    Values<Element, kCount> values;
    load<kRotaryBytes>(values, in + first);
    rotate_neighbours(values, angles_of<kCount / 2>(p, position, first / 2));
    store<kRotaryBytes>(out + first, values);
  } else {
    Values<Element, kCount> low, high;
    load<kRotaryBytes>(low, in + first);
    load<kRotaryBytes>(high, in + first + kRotaryDim / 2);
    rotate_halves(low, high, angles_of<kCount>(p, position, first));
    store<kRotaryBytes>(out + first, low);
    store<kRotaryBytes>(out + first + kRotaryDim / 2, high);
  }
}

ROPE_DEVICE void copy_piece(const Element* in, Element* out, int piece) {
  Values<Element, kPassPiece> values;
  load<kPassBytes>(values, in + kRotaryDim + piece * kPassPiece);
  store<kPassBytes>(out + kRotaryDim + piece * kPassPiece, values);
}

template <int kHeads>
ROPE_DEVICE void rope_thread_of(const RopeParams& p, const RopeTensor& tensor, u32 block,
                                u32 thread) {
  const bool in_place = tensor.in == tensor.out;
  const u32 block_rows = in_place ? kBlockRowsInPlace : kBlockRows;
  const u32 row_threads = in_place ? kRotaryThreads : kRowThreads;
  const u32 row_in_block = in_place ? thread / kRotaryThreads : thread / kRowThreads;
  const int piece = int(thread - row_in_block * row_threads);
  const u64 row = u64(block) * block_rows + row_in_block;
  if (row_in_block >= block_rows || row >= tensor.rows) return;

  const u64 token_index = p.wide ? row / kHeads : u32(row) / kHeads;
  const i64 head = i64(row - token_index * kHeads);
  const Token token = token_at(p, token_index);
  if (!token.present) return;

  const i64 batch = i64(token.batch);
  const i64 seq = i64(token.seq);
  const Element* in = static_cast<const Element*>(tensor.in) + batch * tensor.in_batch +
                      seq * tensor.in_seq + head * tensor.in_head;
  Element* out = static_cast<Element*>(tensor.out) + batch * tensor.out_batch +
                 seq * tensor.out_seq + head * tensor.out_head;
  if (piece < kRotaryThreads) {
    rotate_piece<kLayout, kPiece>(p, in, out, token.position, piece);
  } else if constexpr (kPassThreads > 0) {
    copy_piece(in, out, piece - kRotaryThreads);
  }
}

ROPE_DEVICE void rope_thread(const RopeParams& p, u32 block, u32 thread) {
  if (block < p.q.blocks) {
    rope_thread_of<kQHeads>(p, p.q, block, thread);
  } else {
    rope_thread_of<kKvHeads>(p, p.k, block - p.q.blocks, thread);
  }
}

#if defined(__CUDACC__)
extern "C" __global__ void __launch_bounds__(kBlockThreads > kRowThreads ? kBlockThreads
                                                                         : kRowThreads)
    ropejit_rope(const __grid_constant__ RopeParams p) {
  rope_thread(p, blockIdx.x, threadIdx.x);
}
#else
// Executes the grid on the host, one thread after the other. Returns how many accesses were
// misaligned.
extern "C" long long ropejit_rope_on_host(const RopeParams* p, u32 grid, u32 block_threads) {
  host_misaligned_accesses = 0;
  for (u32 block = 0; block < grid; ++block) {
    for (u32 thread = 0; thread < block_threads; ++thread) rope_thread(*p, block, thread);
  }
  return host_misaligned_accesses;
}
#endif
