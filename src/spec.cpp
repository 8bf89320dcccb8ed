#include "ropejit/spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "ropejit/error.h"
#include "src/text.h"

namespace ropejit {
namespace {

/// One way to write an enum's value. In each table the first spelling of a value is its name; the
/// others are what the field calls it. Lower case, with `_` for `-`.
template <typename Enum>
struct Spelling {
  std::string_view text;
  Enum value;
};

constexpr auto kDtypes = std::to_array<Spelling<Dtype>>({
    {"float32", Dtype::float32},
    {"float16", Dtype::float16},
    {"bfloat16", Dtype::bfloat16},
    {"fp32", Dtype::float32},
    {"f32", Dtype::float32},
    {"float", Dtype::float32},
    {"fp16", Dtype::float16},
    {"f16", Dtype::float16},
    {"half", Dtype::float16},
    {"bf16", Dtype::bfloat16},
});

constexpr auto kLayouts = std::to_array<Spelling<Layout>>({
    {"interleaved", Layout::interleaved},         // flash-attn, ONNX Runtime, Transformer Engine
    {"sequential", Layout::sequential},           //
    {"interleave", Layout::interleaved},          // FlashInfer
    {"rotary_interleaved", Layout::interleaved},  // Megatron
    {"rotate_every_two", Layout::interleaved},    // transformers' GPT-J
    {"gptj", Layout::interleaved},                // vLLM: is_neox_style=False
    {"gpt_j", Layout::interleaved},
    {"adjacent", Layout::interleaved},
    {"normal", Layout::interleaved},  // ggml
    {"norm", Layout::interleaved},    // llama.cpp
    {"complex", Layout::interleaved},
    {"meta", Layout::interleaved},
    {"neox", Layout::sequential},  // ggml, vLLM: is_neox_style=True
    {"gpt_neox", Layout::sequential},
    {"rotate_half", Layout::sequential},  // transformers
    {"half", Layout::sequential},
    {"halves", Layout::sequential},
    {"half_split", Layout::sequential},
    {"non_interleaved", Layout::sequential},
});

constexpr auto kPositionModes = std::to_array<Spelling<PositionMode>>({
    {"offset", PositionMode::offset},
    {"sequence_offsets", PositionMode::sequence_offsets},
    {"token_ids", PositionMode::token_ids},
    {"ragged", PositionMode::ragged},
});

constexpr auto kIndexTypes = std::to_array<Spelling<IndexType>>({
    {"int32", IndexType::int32},
    {"int64", IndexType::int64},
    {"i32", IndexType::int32},
    {"i64", IndexType::int64},
});

constexpr auto kAngleSources = std::to_array<Spelling<AngleSource>>({
    {"exact", AngleSource::exact},
    {"table", AngleSource::table},
});

constexpr auto kDirections = std::to_array<Spelling<Direction>>({
    {"forward", Direction::forward},
    {"inverse", Direction::inverse},
    {"backward", Direction::inverse},
});

template <typename Enum, std::size_t n>
std::string_view name_in(const std::array<Spelling<Enum>, n>& table, Enum value) noexcept {
  for (const Spelling<Enum>& spelling : table) {
    if (spelling.value == value) return spelling.text;
  }
  return "invalid";
}

std::string normalised(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-') c = '_';
  }
  return result;
}

template <typename Enum, std::size_t n>
Enum parse_in(const std::array<Spelling<Enum>, n>& table, std::string_view text,
              std::string_view field) {
  const std::string wanted = normalised(text);
  std::vector<std::string_view> spellings;
  std::vector<std::string_view> names;
  for (const Spelling<Enum>& spelling : table) {
    if (spelling.text == wanted) return spelling.value;
    spellings.push_back(spelling.text);
    if (name_in(table, spelling.value) == spelling.text) names.push_back(spelling.text);
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{} = {}: must be {}; nearest known: {}", field, text, join_or(names),
                          nearest(wanted, spellings)));
}

void require(bool holds, std::string_view field, int value, std::string_view rule) {
  if (holds) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("{} = {}: {}", field, value, rule));
}

bool even_in(int value, int most) { return value >= 2 && value <= most && value % 2 == 0; }

}  // namespace

void validate(const RopeSpec& spec) {
  require(even_in(spec.head_dim, 1024), "head_dim", spec.head_dim, "must be even, from 2 to 1024");
  require(spec.rotary_dim == 0 || even_in(spec.rotary_dim, spec.head_dim), "rotary_dim",
          spec.rotary_dim,
          fmt::format("must be even, from 2 to head_dim ({}), or 0 for all of it", spec.head_dim));
  require(spec.q_heads >= 1 && spec.q_heads <= 512, "q_heads", spec.q_heads,
          "must be from 1 to 512");
  require(spec.kv_heads >= 1 && spec.kv_heads <= 512, "kv_heads", spec.kv_heads,
          "must be from 1 to 512");
  const int alignment = spec.alignment;
  require(alignment >= 2 && alignment <= 32 && (alignment & (alignment - 1)) == 0, "alignment",
          alignment, "must be 2, 4, 8, 16 or 32");
  require(alignment >= static_cast<int>(size_of(spec.dtype)), "alignment", alignment,
          fmt::format("must be at least one element of {}: {} bytes", name(spec.dtype),
                      size_of(spec.dtype)));
}

std::string_view name(Dtype value) noexcept { return name_in(kDtypes, value); }
std::string_view name(Layout value) noexcept { return name_in(kLayouts, value); }
std::string_view name(PositionMode value) noexcept { return name_in(kPositionModes, value); }
std::string_view name(IndexType value) noexcept { return name_in(kIndexTypes, value); }
std::string_view name(AngleSource value) noexcept { return name_in(kAngleSources, value); }
std::string_view name(Direction value) noexcept { return name_in(kDirections, value); }

Dtype parse_dtype(std::string_view text, std::string_view field) {
  constexpr std::string_view kTorch = "torch.";
  return parse_in(kDtypes, text.starts_with(kTorch) ? text.substr(kTorch.size()) : text, field);
}
Layout parse_layout(std::string_view text, std::string_view field) {
  return parse_in(kLayouts, text, field);
}
PositionMode parse_position_mode(std::string_view text, std::string_view field) {
  return parse_in(kPositionModes, text, field);
}
IndexType parse_index_type(std::string_view text, std::string_view field) {
  return parse_in(kIndexTypes, text, field);
}
AngleSource parse_angle_source(std::string_view text, std::string_view field) {
  return parse_in(kAngleSources, text, field);
}
Direction parse_direction(std::string_view text, std::string_view field) {
  return parse_in(kDirections, text, field);
}

std::string describe(const RopeSpec& spec) {
  const bool indexed = spec.positions != PositionMode::offset;
  return fmt::format("d{} r{} {} {} q{} kv{} {}{}{} {} {} a{}", spec.head_dim, spec.rotary(),
                     name(spec.dtype), name(spec.layout), spec.q_heads, spec.kv_heads,
                     name(spec.positions), indexed ? " " : "", indexed ? name(spec.index_type) : "",
                     name(spec.angles), name(spec.direction), spec.alignment);
}

}  // namespace ropejit
