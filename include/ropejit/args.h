#ifndef ROPEJIT_ARGS_H_
#define ROPEJIT_ARGS_H_

#include <cstdint>
#include <optional>

namespace ropejit {

/// One of q, k, q_out, k_out: a [batch, seq, heads, head_dim] view of memory that the caller owns.
/// Strides count elements, may be negative, and need not nest: [B,S,H,D], [B,H,S,D], [S,B,H,D],
/// flat [T,H,D], slices of a packed QKV buffer and transposed views are all fine; 0 repeats an
/// input. Any alignment down to one element works.
struct Tensor {
  void* data = nullptr;  ///< element [0,0,0,0]; inputs are only read. nullptr: the tensor is absent
  std::int64_t stride_batch = 0;
  std::int64_t stride_seq = 0;
  std::int64_t stride_head = 0;
  std::int64_t stride_dim = 1;  ///< a call with another one is computed element by element: slower

  bool operator==(const Tensor&) const = default;
};

/// A contiguous [batch, seq, heads, head_dim] tensor. Also flat [T, heads, head_dim] tokens: seq =
/// T.
Tensor dense_bshd(void* data, std::int64_t seq, std::int64_t heads, std::int64_t head_dim) noexcept;
/// A contiguous [batch, heads, seq, head_dim] tensor.
Tensor dense_bhsd(void* data, std::int64_t seq, std::int64_t heads, std::int64_t head_dim) noexcept;
/// A contiguous [seq, batch, heads, head_dim] tensor.
Tensor dense_sbhd(void* data, std::int64_t batch, std::int64_t heads,
                  std::int64_t head_dim) noexcept;

/// Cosines and sines for AngleSource::table, float32, on the device. Row p belongs to position p,
/// column i to pair i. Three usual tables are all this: separate [P, R/2] arrays; `cos||sin` rows
/// [P, R] (sin = cos + R/2, row_stride = R); duplicated halves [P, R] (row_stride = R).
/// A position outside [0, rows) makes the token's rotary part NaN; the table is never read out of
/// bounds.
struct CosSinTable {
  const float* cos = nullptr;
  const float* sin = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;     ///< readable cosines per row; at least rotary_dim / 2
  std::int64_t row_stride = 0;  ///< elements from one row to the next, of both arrays
};

/// The arguments of one call. Plain data that borrows every pointer until the call's work on the
/// stream has finished. Rotating in place means q_out == q; any other overlap of an output with a
/// tensor of the call is refused.
struct RopeArgs {
  Tensor q{};  ///< absent (data == nullptr) together with q_out: only k is rotated
  Tensor q_out{};
  Tensor k{};  ///< absent together with k_out: only q is rotated
  Tensor k_out{};
  /// Sequences, and tokens in each. 0 in either: nothing is launched. With PositionMode::ragged,
  /// `batch` sequences share `seq` flat tokens and stride_batch is ignored.
  std::int64_t batch = 1;
  std::int64_t seq = 0;

  std::int64_t offset = 0;  ///< PositionMode::offset: position of token 0; may be negative
  /// On the device, of the spec's index type: sequence_offsets: [batch]; token_ids: [batch, seq];
  /// ragged: optional [batch], the position of each sequence's first token (nullptr: 0).
  const void* positions = nullptr;
  /// token_ids: elements between the ids of one sequence and of the next; 0 shares one row of ids.
  /// Absent: seq.
  std::optional<std::int64_t> position_stride_batch{};
  /// ragged: [batch + 1] on the device, ascending. Tokens outside [cu_seqlens[0],
  /// cu_seqlens[batch]) belong to no sequence and are neither read nor written.
  const void* cu_seqlens = nullptr;

  CosSinTable table{};  ///< AngleSource::table

  /// Programmatic dependent launch, on devices from sm_90 on; without effect before. The kernel may
  /// start while the one ahead of it on the stream is finishing, if that one releases it (a Rope's
  /// does), and waits inside for the end of all kernels ahead. Before that it reads `args` and the
  /// frequencies only. Once its own loads are issued it releases the kernel behind it, which has to
  /// wait likewise before it reads what this call writes or writes what this call reads.
  bool dependent_launch = false;
  /// With dependent_launch: no kernel that may still be running writes `positions` or `cu_seqlens`,
  /// so these too may be read before the wait.
  bool early_positions = false;
};

}  // namespace ropejit

#endif  // ROPEJIT_ARGS_H_
