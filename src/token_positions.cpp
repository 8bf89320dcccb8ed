#include "src/token_positions.h"

#include <algorithm>

namespace ropejit {
namespace {

std::int64_t index_at(IndexType type, const void* indices, std::int64_t i) {
  return type == IndexType::int64 ? static_cast<const std::int64_t*>(indices)[i]
                                  : static_cast<const std::int32_t*>(indices)[i];
}

/// Positions wrap modulo 2^64, as on the device.
std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

std::vector<TokenPosition> ragged_positions(const RopeSpec& spec, const RopeArgs& args) {
  std::vector<TokenPosition> tokens;
  for (std::int64_t b = 0; b < args.batch; ++b) {
    const std::int64_t begin = index_at(spec.index_type, args.cu_seqlens, b);
    const std::int64_t end = index_at(spec.index_type, args.cu_seqlens, b + 1);
    const std::int64_t first =
        args.positions == nullptr ? 0 : index_at(spec.index_type, args.positions, b);
    for (std::int64_t t = std::max<std::int64_t>(begin, 0); t < std::min(end, args.seq); ++t) {
      tokens.push_back({0, t, wrapping_sum(first, t - begin)});
    }
  }
  return tokens;
}

std::int64_t position_of(const RopeSpec& spec, const RopeArgs& args, std::int64_t b,
                         std::int64_t s) {
  switch (spec.positions) {
    case PositionMode::offset:
      return wrapping_sum(args.offset, s);
    case PositionMode::sequence_offsets:
      return wrapping_sum(index_at(spec.index_type, args.positions, b), s);
    default:
      return index_at(spec.index_type, args.positions,
                      b * args.position_stride_batch.value_or(args.seq) + s);
  }
}

}  // namespace

std::vector<TokenPosition> token_positions(const RopeSpec& spec, const RopeArgs& args) {
  if (spec.positions == PositionMode::ragged) return ragged_positions(spec, args);
  std::vector<TokenPosition> tokens;
  tokens.reserve(static_cast<std::size_t>(args.batch * args.seq));
  for (std::int64_t b = 0; b < args.batch; ++b) {
    for (std::int64_t s = 0; s < args.seq; ++s) {
      tokens.push_back({b, s, position_of(spec, args, b, s)});
    }
  }
  return tokens;
}

}  // namespace ropejit
