#include "tools/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "ropejit/error.h"
#include "ropejit/reference.h"

namespace ropejit {
namespace {

constexpr std::array<std::string_view, 3> kStridesNames = {"bshd", "bhsd", "padded"};

constexpr std::int64_t kPrefillSequence = 512;
constexpr std::int64_t kSmallPartOfCache = 8;
constexpr std::int64_t kCachesPerRing = 3;
/// Coprime to every power of two, so that the positions of a decoding step are all different.
constexpr std::int64_t kScatter = 2531;

bool is_decode(const Workload& workload) { return workload.tokens <= kMostDecodeTokens; }

/// sin(2 pi i / 2^16) for i < 2^16, and a quarter more, for the cosines.
const std::vector<float>& sines() {
  static const std::vector<float> values = [] {
    std::vector<float> made(65536 + 16384);
    for (std::size_t i = 0; i < made.size(); ++i) {
      made[i] = static_cast<float>(std::sin(static_cast<double>(i) * std::numbers::pi / 32768));
    }
    return made;
  }();
  return values;
}

}  // namespace

std::string_view name(Strides value) noexcept {
  return kStridesNames[static_cast<std::size_t>(value)];
}

void validate(const Workload& workload) {
  validate(workload.spec);
  validate(workload.spec, workload.frequencies);
  if (workload.tokens < 1) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("tokens = {}: must be at least 1", workload.tokens));
  }
  if (workload.frequencies.turns.empty()) {
    throw Error(ErrorCode::invalid_argument,
                "frequencies.turns is empty: a workload's table is made of it");
  }
}

std::string describe(const Workload& workload) {
  std::string text = fmt::format("{}, {} token{}", describe(workload.spec), workload.tokens,
                                 workload.tokens == 1 ? "" : "s");
  if (workload.strides != Strides::bshd) text += fmt::format(", {}", name(workload.strides));
  if (workload.in_place) text += ", in place";
  return text;
}

std::int64_t bytes_moved(const Workload& workload) noexcept {
  const RopeSpec& spec = workload.spec;
  const std::int64_t elements = workload.in_place ? spec.rotary() : spec.head_dim;
  const std::int64_t rows = 2 * workload.tokens * (spec.q_heads + spec.kv_heads) * elements *
                            static_cast<std::int64_t>(size_of(spec.dtype));
  const std::int64_t table =
      spec.angles == AngleSource::table
          ? workload.tokens * spec.rotary() * static_cast<std::int64_t>(sizeof(float))
          : 0;
  return rows + table;
}

std::int64_t sequences_of(const Workload& workload) noexcept {
  if (is_decode(workload)) return workload.tokens;
  return (workload.tokens + kPrefillSequence - 1) / kPrefillSequence;
}

std::int64_t position_count(const Workload& workload) noexcept {
  return std::max(workload.tokens, kLeastPositions);
}

std::vector<std::int64_t> positions_of(const Workload& workload) {
  std::vector<std::int64_t> positions;
  switch (workload.spec.positions) {
    case PositionMode::offset:
      break;
    case PositionMode::sequence_offsets:
      positions = {0};
      break;
    case PositionMode::token_ids:
      positions.resize(static_cast<std::size_t>(workload.tokens));
      break;
    case PositionMode::ragged:
      positions.resize(static_cast<std::size_t>(sequences_of(workload)));
      break;
  }
  const bool prefill_ids =
      workload.spec.positions == PositionMode::token_ids && !is_decode(workload);
  // A prefill's sequences start at 0; its token ids count up.
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    if (prefill_ids) positions[i] = index;
    if (is_decode(workload) && workload.spec.positions != PositionMode::sequence_offsets) {
      positions[i] = index * kScatter % kLeastPositions;
    }
  }
  return positions;
}

std::vector<std::int64_t> cu_seqlens_of(const Workload& workload) {
  std::vector<std::int64_t> ends;
  if (workload.spec.positions != PositionMode::ragged) return ends;
  const std::int64_t sequences = sequences_of(workload);
  for (std::int64_t i = 0; i <= sequences; ++i) ends.push_back(workload.tokens * i / sequences);
  return ends;
}

std::vector<float> table_of(const Workload& workload) {
  const std::vector<std::uint64_t>& turns = workload.frequencies.turns;
  const auto rows = static_cast<std::size_t>(position_count(workload));
  std::vector<float> table(2 * rows * turns.size());
  const float* sine = sines().data();
  float* cosines_to = table.data();
  float* sines_to = table.data() + rows * turns.size();
  for (std::size_t row = 0; row < rows; ++row) {
    for (const std::uint64_t turn : turns) {
      const std::uint64_t phase = row * turn >> 48;
      *sines_to++ = sine[phase];
      *cosines_to++ = sine[phase + 16384];
    }
  }
  return table;
}

std::size_t ring_sets(std::int64_t set_bytes, std::int64_t l2_bytes) noexcept {
  if (set_bytes <= l2_bytes / kSmallPartOfCache) return 1;
  return static_cast<std::size_t>((kCachesPerRing * l2_bytes + set_bytes - 1) / set_bytes);
}

}  // namespace ropejit
