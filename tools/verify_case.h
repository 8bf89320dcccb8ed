#ifndef ROPEJIT_TOOLS_VERIFY_CASE_H_
#define ROPEJIT_TOOLS_VERIFY_CASE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ropejit/config.h"
#include "ropejit/frequencies.h"
#include "ropejit/spec.h"

namespace ropejit {

/// How q and k lie in memory.
enum class Placement {
  bshd,
  bhsd,
  sbhd,
  packed,      ///< slices of one [batch, seq, q_heads + 2 kv_heads, head_dim] buffer
  padded,      ///< bshd with `padding` unused elements after every head, token and sequence
  reversed,    ///< bshd with the last token first: a negative stride
  broadcast,   ///< inputs only: all tokens of a sequence share q, all heads of a token share k
  spaced,      ///< bshd with an unused element behind every one
  flipped,     ///< bshd with the last element of every head first: a negative stride
  transposed,  ///< [batch, seq, head_dim, heads]: heads side by side, and other strides for q than
               ///< for k
};
std::string_view name(Placement placement) noexcept;
/// Whether the elements of a head do not follow each other: no call of them is aligned.
bool is_apart(Placement placement) noexcept;

/// How the cosines and sines of AngleSource::table lie in memory; see CosSinTable.
enum class TableStyle {
  separate,    ///< two arrays [rows, R/2]
  joined,      ///< cos||sin rows [rows, R]
  duplicated,  ///< two arrays [rows, R], each half twice
  unaligned,   ///< separate, with rows of an odd length that start one element off 16 bytes
};
std::string_view name(TableStyle style) noexcept;

/// One call to verify, as data: everything that shapes it, and nothing that is filled in at random.
struct VerifyCase {
  RopeSpec spec;
  Frequencies frequencies;
  /// Of a call that keeps the spec's alignment. Nothing: the one that is chosen for its tokens.
  std::optional<LaunchConfig> config;
  std::int64_t batch = 1;  ///< as in RopeArgs
  std::int64_t seq = 0;

  Placement in = Placement::bshd;
  Placement out = Placement::bshd;  ///< ignored in place
  bool in_place = false;
  int base_offset = 0;  ///< elements by which every tensor starts off a 256-byte boundary
  int padding = 8;      ///< elements, of Placement::padded
  bool has_q = true;
  bool has_k = true;

  /// offset: one value. sequence_offsets: [batch]. token_ids: [batch, seq]; or, with a stride, what
  /// it spans. ragged: [batch], or empty.
  std::vector<std::int64_t> positions;
  std::optional<std::int64_t> position_stride_batch;
  std::vector<std::int64_t> cu_seqlens;  ///< ragged: [batch + 1]
  std::int64_t table_rows = 0;           ///< AngleSource::table
  TableStyle table_style = TableStyle::separate;
  /// Strews infinities and NaN among the input: they must spoil their own pair only.
  bool special_values = false;
};

/// One line that names the case among those of its spec:
/// `2x33 tokens, bhsd, in place, base + 1, positions 2047..`.
std::string describe(const VerifyCase& test);

/// A token of the tensors, whether or not the call rotates it.
struct CaseToken {
  std::int64_t batch;                    ///< its row in the tensors; 0 with PositionMode::ragged
  std::int64_t seq;                      ///< likewise
  std::optional<std::int64_t> position;  ///< nothing: it belongs to no sequence
};
/// Every token of the tensors, from the definition of the position modes and independently of the
/// code under test.
std::vector<CaseToken> tokens_of(const VerifyCase& test);

/// Sequences in the tensors' first dimension: 1 with PositionMode::ragged.
std::int64_t tensor_batch(const VerifyCase& test) noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_VERIFY_CASE_H_
