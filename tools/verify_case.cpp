#include "tools/verify_case.h"

#include <fmt/format.h>

namespace ropejit {
namespace {

/// Positions wrap modulo 2^64, as the phase does.
std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

std::int64_t at(const std::vector<std::int64_t>& values, std::int64_t i) {
  return values.at(static_cast<std::size_t>(i));
}

std::optional<std::int64_t> ragged_position(const VerifyCase& test, std::int64_t token) {
  for (std::int64_t b = 0; b < test.batch; ++b) {
    const std::int64_t begin = at(test.cu_seqlens, b);
    if (token < begin || token >= at(test.cu_seqlens, b + 1)) continue;
    const std::int64_t first = test.positions.empty() ? 0 : at(test.positions, b);
    return wrapping_sum(first, token - begin);
  }
  return std::nullopt;
}

std::optional<std::int64_t> position_of(const VerifyCase& test, std::int64_t b, std::int64_t s) {
  switch (test.spec.positions) {
    case PositionMode::offset:
      return wrapping_sum(at(test.positions, 0), s);
    case PositionMode::sequence_offsets:
      return wrapping_sum(at(test.positions, b), s);
    case PositionMode::token_ids:
      return at(test.positions, b * test.position_stride_batch.value_or(test.seq) + s);
    case PositionMode::ragged:
      return ragged_position(test, s);
  }
  return std::nullopt;
}

std::string describe_positions(const VerifyCase& test) {
  if (test.seq == 0 || test.batch == 0) return {};
  if (test.positions.empty()) return ", positions from 0";
  return fmt::format(", positions {}{}", test.positions.front(),
                     test.seq * test.batch > 1 ? " and on" : "");
}

}  // namespace

std::string_view name(Placement placement) noexcept {
  switch (placement) {
    case Placement::bshd:
      return "bshd";
    case Placement::bhsd:
      return "bhsd";
    case Placement::sbhd:
      return "sbhd";
    case Placement::packed:
      return "packed";
    case Placement::padded:
      return "padded";
    case Placement::reversed:
      return "reversed";
    case Placement::broadcast:
      return "broadcast";
    case Placement::spaced:
      return "spaced";
    case Placement::flipped:
      return "flipped";
    case Placement::transposed:
      return "transposed";
  }
  return {};
}

bool is_apart(Placement placement) noexcept {
  return placement == Placement::spaced || placement == Placement::flipped ||
         placement == Placement::transposed;
}

std::string_view name(TableStyle style) noexcept {
  switch (style) {
    case TableStyle::separate:
      return "separate";
    case TableStyle::joined:
      return "joined";
    case TableStyle::duplicated:
      return "duplicated";
    case TableStyle::unaligned:
      return "unaligned";
  }
  return {};
}

std::string describe(const VerifyCase& test) {
  const bool ragged = test.spec.positions == PositionMode::ragged;
  std::string text = ragged ? fmt::format("{} tokens of {} sequences", test.seq, test.batch)
                            : fmt::format("{}x{} tokens", test.batch, test.seq);
  text += fmt::format(", {}", name(test.in));
  if (test.in == Placement::padded) text += fmt::format(" by {}", test.padding);
  if (test.in_place) {
    text += ", in place";
  } else if (test.out != test.in) {
    text += fmt::format(" to {}", name(test.out));
  }
  if (test.base_offset != 0) text += fmt::format(", base + {}", test.base_offset);
  if (!test.has_q || !test.has_k) text += test.has_q ? ", q only" : ", k only";
  text += describe_positions(test);
  if (test.spec.angles == AngleSource::table) {
    text += fmt::format(", {} table of {} rows", name(test.table_style), test.table_rows);
  }
  if (test.special_values) text += ", infinities and NaN";
  if (test.config) text += fmt::format(", {}", describe(*test.config));
  return text;
}

std::int64_t tensor_batch(const VerifyCase& test) noexcept {
  return test.spec.positions == PositionMode::ragged ? 1 : test.batch;
}

std::vector<CaseToken> tokens_of(const VerifyCase& test) {
  std::vector<CaseToken> tokens;
  for (std::int64_t b = 0; b < tensor_batch(test); ++b) {
    for (std::int64_t s = 0; s < test.seq; ++s) {
      tokens.push_back({b, s, position_of(test, b, s)});
    }
  }
  return tokens;
}

}  // namespace ropejit
