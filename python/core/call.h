#ifndef ROPEJIT_PYTHON_CORE_CALL_H_
#define ROPEJIT_PYTHON_CORE_CALL_H_

#include <cstdint>
#include <optional>

#include "core/array.h"

namespace ropejit::python {

/// One call as Python makes it.
struct Call {
  std::optional<Array> q, q_out, k, k_out;  ///< [batch, seq, heads, head_dim] or [tokens, ...]
  std::optional<Array> cos, sin;            ///< [rows, R/2] or [batch, rows, R/2]; none: exact
  std::optional<Array> position_ids;        ///< [batch, seq], [1, seq] or [seq]
  std::optional<Array> offsets;             ///< [batch]: of each sequence's token 0
  std::optional<Array> cu_seqlens;          ///< [sequences + 1]: where each begins among the tokens
  std::int64_t offset = 0;                  ///< position of token 0, without position_ids, offsets
  int rotary_dim = 0;                       ///< 0: twice the columns of cos, or all of head_dim
  Layout layout = Layout::interleaved;
  Direction direction = Direction::forward;

  /// The array that decides shape, dtype and device: q, or k where there is no q.
  const Array& leader() const { return q ? *q : *k; }
  std::int64_t batch() const { return leader().shape(0); }
  std::int64_t seq() const { return leader().shape(1); }
  std::int64_t head_dim() const { return leader().shape(3); }
  std::int64_t sequences() const { return cu_seqlens ? cu_seqlens->shape(0) - 1 : batch(); }
  /// Rows of the table for each sequence; of a call with one.
  std::int64_t table_rows() const { return cos->shape(cos->ndim() - 2); }
};

/// Gives arrays of flat tokens their batch of 1. Throws ValueError or TypeError that names the
/// argument unless all of a call fits together: every array present that has to be, on one device,
/// with the shapes above.
void check(Call& call);

/// Whether the table and the indices of a call that was checked lie as the library reads them: rows
/// and indices without gaps, and cosines and sines alike. If not, copies without gaps do.
bool is_readable(const Call& call);

/// Of a call that was checked.
RopeSpec spec_of(const Call& call);

/// Applies a Rope that was made for spec_of(call): one launch, or one for each sequence where each
/// has a table of its own and the sequences do not lie behind each other.
void apply(const Rope& rope, const Call& call, CUstream_st* stream);

}  // namespace ropejit::python

#endif  // ROPEJIT_PYTHON_CORE_CALL_H_
