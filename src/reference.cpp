#include "ropejit/reference.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "ropejit/error.h"
#include "src/launch.h"
#include "src/rounding.h"
#include "src/token_positions.h"

namespace ropejit {
namespace {

using Byte = unsigned char;

/// One head of one token.
template <class Pointer>
struct Row {
  Pointer first;
  std::int64_t step;  ///< bytes from one element to the next

  Pointer at(std::int64_t d) const { return first + d * step; }
};

template <class Pointer>
Row<Pointer> row_at(Pointer base, const Tensor& tensor, const TokenPosition& token,
                    std::int64_t head, std::int64_t element_bytes) {
  const std::int64_t elements =
      token.batch * tensor.stride_batch + token.seq * tensor.stride_seq + head * tensor.stride_head;
  return {base + elements * element_bytes, tensor.stride_dim * element_bytes};
}

void rotate_row(const RopeSpec& spec, const std::vector<CosSin>& angles, const Row<const Byte*>& in,
                const Row<Byte*>& out) {
  const auto pairs = static_cast<std::int64_t>(angles.size());
  const bool interleaved = spec.layout == Layout::interleaved;
  for (std::int64_t i = 0; i < pairs; ++i) {
    const std::int64_t a = interleaved ? 2 * i : i;
    const std::int64_t b = interleaved ? 2 * i + 1 : i + pairs;
    const double x = load_element(spec.dtype, in.at(a));
    const double y = load_element(spec.dtype, in.at(b));
    const CosSin& angle = angles[static_cast<std::size_t>(i)];
    store_element(spec.dtype, out.at(a), x * angle.cos - y * angle.sin);
    store_element(spec.dtype, out.at(b), y * angle.cos + x * angle.sin);
  }
  const std::size_t element = size_of(spec.dtype);
  for (std::int64_t d = 2 * pairs; d < spec.head_dim; ++d) {
    std::memmove(out.at(d), in.at(d), element);
  }
}

void rotate_heads(const RopeSpec& spec, const std::vector<CosSin>& angles,
                  const TokenPosition& token, const Tensor& in, const Tensor& out, int heads) {
  if (in.data == nullptr) return;
  const auto element = static_cast<std::int64_t>(size_of(spec.dtype));
  for (int head = 0; head < heads; ++head) {
    rotate_row(spec, angles, row_at(static_cast<const Byte*>(in.data), in, token, head, element),
               row_at(static_cast<Byte*>(out.data), out, token, head, element));
  }
}

}  // namespace

CosSin exact_cos_sin(std::uint64_t turns, std::int64_t position) noexcept {
  const auto phase = static_cast<std::int64_t>(static_cast<std::uint64_t>(position) * turns);
  const double angle = static_cast<double>(phase) * (std::numbers::pi * 0x1p-63);
  return {std::cos(angle), std::sin(angle)};
}

CosSin pair_cos_sin(const RopeSpec& spec, const Frequencies& frequencies, const CosSinTable& table,
                    std::int64_t position, int pair) noexcept {
  CosSin angle{std::nan(""), std::nan("")};
  if (spec.angles == AngleSource::exact) {
    angle = exact_cos_sin(frequencies.turns[static_cast<std::size_t>(pair)], position);
  } else if (position >= 0 && position < table.rows) {
    const std::int64_t at = position * table.row_stride + pair;
    angle = {static_cast<double>(table.cos[at]), static_cast<double>(table.sin[at])};
  }
  const auto factor = static_cast<double>(frequencies.attention_factor);
  return {angle.cos * factor,
          angle.sin * (spec.direction == Direction::forward ? factor : -factor)};
}

void validate(const RopeSpec& spec, const Frequencies& frequencies) {
  const auto pairs = static_cast<std::size_t>(spec.rotary() / 2);
  const std::size_t turns = frequencies.turns.size();
  if (turns != pairs && !(spec.angles == AngleSource::table && turns == 0)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("frequencies.turns has {} values: must have rotary_dim / 2 = {}", turns,
                            pairs));
  }
  if (!std::isfinite(frequencies.attention_factor) || frequencies.attention_factor <= 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("frequencies.attention_factor = {}: must be finite and above 0",
                            frequencies.attention_factor));
  }
}

void apply_reference(const RopeSpec& spec, const Frequencies& frequencies, const RopeArgs& args) {
  validate(spec);
  validate(spec, frequencies);
  if (check_args(spec, args).tokens == 0) return;
  std::vector<CosSin> angles(static_cast<std::size_t>(spec.rotary() / 2));
  for (const TokenPosition& token : token_positions(spec, args)) {
    for (std::size_t pair = 0; pair < angles.size(); ++pair) {
      angles[pair] =
          pair_cos_sin(spec, frequencies, args.table, token.position, static_cast<int>(pair));
    }
    rotate_heads(spec, angles, token, args.q, args.q_out, spec.q_heads);
    rotate_heads(spec, angles, token, args.k, args.k_out, spec.kv_heads);
  }
}

}  // namespace ropejit
