#ifndef ROPEJIT_TOOLS_WORKLOAD_H_
#define ROPEJIT_TOOLS_WORKLOAD_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ropejit/frequencies.h"
#include "ropejit/spec.h"

namespace ropejit {

/// How q and k of a workload lie in memory.
enum class Strides {
  bshd,    ///< [B,S,H,D], contiguous
  bhsd,    ///< [B,H,S,D], contiguous
  padded,  ///< [B,S,H,D] with one head of unused elements after every token
};
std::string_view name(Strides value) noexcept;
inline constexpr Strides kAllStrides[] = {Strides::bshd, Strides::bhsd, Strides::padded};

/// A call to measure, as data. One sequence of `tokens` tokens; with PositionMode::ragged as many
/// sequences as sequences_of() says.
struct Workload {
  RopeSpec spec;
  Frequencies
      frequencies;  ///< of the spec's pairs; with AngleSource::table the table is made of it
  std::int64_t tokens = 1;
  bool in_place = false;
  Strides strides = Strides::bshd;
};

/// Throws Error(invalid_argument) that names the field.
void validate(const Workload& workload);

/// One line, such as `d128 r128 ... a16, 8192 tokens, in place`.
std::string describe(const Workload& workload);

/// Bytes that the call has to move: q and k read once and written once, and, of a table, every
/// token's row read once. What does not rotate has to be moved out of place only.
std::int64_t bytes_moved(const Workload& workload) noexcept;

/// Up to this many tokens a call is taken for a decoding step, where every token belongs to a
/// sequence of its own; above, for a prefill, where tokens follow each other.
inline constexpr std::int64_t kMostDecodeTokens = 256;
/// Rows of a table, and the positions that occur, are at least these.
inline constexpr std::int64_t kLeastPositions = 8192;

/// The sequences of PositionMode::ragged: one per token of a decoding step, else one per 512
/// tokens.
std::int64_t sequences_of(const Workload& workload) noexcept;
/// Number of positions that occur: 0 to one less than it.
std::int64_t position_count(const Workload& workload) noexcept;
/// What the call's `positions` hold: token_ids: [tokens]; sequence_offsets: [1]; ragged:
/// [sequences]; empty for offset, whose positions start at 0.
std::vector<std::int64_t> positions_of(const Workload& workload);
/// ragged: [sequences + 1]; else empty.
std::vector<std::int64_t> cu_seqlens_of(const Workload& workload);

/// A cosine and sine table of the workload's frequencies: `rows` rows of rotary / 2 cosines, then
/// as many rows of sines. Right to 16 bits of the phase, which is all that timing needs.
std::vector<float> table_of(const Workload& workload);

/// How many buffer sets a ring has, so that a call finds in a cache of `l2_bytes` what it would
/// find in a model: a small call (`set_bytes` up to an eighth of the cache) its data, since they
/// were just made; a large one nothing, since the ring is three times the cache or more.
std::size_t ring_sets(std::int64_t set_bytes, std::int64_t l2_bytes) noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_WORKLOAD_H_
