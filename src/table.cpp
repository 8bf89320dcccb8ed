#include "ropejit/table.h"

#include <fmt/format.h>

#include <cmath>

#include "ropejit/error.h"
#include "ropejit/reference.h"
#include "src/fp32_angle.h"
#include "src/rounding.h"

namespace ropejit {
namespace {

constexpr std::int64_t kMostRows = std::int64_t{1} << 31;

void check(std::int64_t rows, const char* field, std::size_t pairs, float attention_factor) {
  if (rows < 1 || rows > kMostRows) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("rows = {}: must be from 1 to {}", rows, kMostRows));
  }
  if (pairs == 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("frequencies.{} has 0 values: must have one per pair", field));
  }
  if (!std::isfinite(attention_factor) || attention_factor <= 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("frequencies.attention_factor = {}: must be finite and above 0",
                            attention_factor));
  }
}

HostTable empty_table(std::int64_t rows, std::int64_t pairs, TableLayout layout) {
  HostTable table;
  table.rows = rows;
  table.columns = layout == TableLayout::duplicated ? 2 * pairs : pairs;
  table.row_stride = layout == TableLayout::separate ? pairs : 2 * pairs;
  table.sin_offset = layout == TableLayout::concatenated ? pairs : rows * table.row_stride;
  table.values.resize(static_cast<std::size_t>(2 * rows * table.columns));
  return table;
}

/// `cos_sin(pair, position)` has members `cos` and `sin`, ready to be stored.
template <class Angles>
HostTable filled(std::int64_t rows, std::size_t pairs, TableLayout layout, Angles cos_sin) {
  HostTable table = empty_table(rows, static_cast<std::int64_t>(pairs), layout);
  const auto columns = static_cast<std::size_t>(table.columns);
  for (std::int64_t position = 0; position < rows; ++position) {
    float* const cos = table.values.data() + position * table.row_stride;
    float* const sin = cos + table.sin_offset;
    for (std::size_t pair = 0; pair < pairs; ++pair) {
      const Fp32CosSin value = cos_sin(pair, position);
      for (std::size_t column = pair; column < columns; column += pairs) {
        cos[column] = value.cos;
        sin[column] = value.sin;
      }
    }
  }
  return table;
}

}  // namespace

HostTable build_table(const Frequencies& frequencies, std::int64_t rows, TableLayout layout) {
  check(rows, "turns", frequencies.turns.size(), frequencies.attention_factor);
  const auto factor = static_cast<double>(frequencies.attention_factor);
  return filled(
      rows, frequencies.turns.size(), layout,
      [&](std::size_t pair, std::int64_t position) -> Fp32CosSin {
        const CosSin value = exact_cos_sin(frequencies.turns[pair], position);
        return {static_cast<float>(value.cos * factor), static_cast<float>(value.sin * factor)};
      });
}

HostTable build_table(const Fp32Frequencies& frequencies, std::int64_t rows, TableLayout layout) {
  check(rows, "radians", frequencies.radians.size(), frequencies.attention_factor);
  for (std::size_t pair = 0; pair < frequencies.radians.size(); ++pair) {
    if (!std::isfinite(frequencies.radians[pair])) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("frequencies.radians[{}] = {}: must be finite", pair,
                              frequencies.radians[pair]));
    }
  }
  const float factor = frequencies.attention_factor;
  return filled(rows, frequencies.radians.size(), layout,
                [&](std::size_t pair, std::int64_t position) -> Fp32CosSin {
                  const Fp32CosSin value = fp32_cos_sin(frequencies.radians[pair], position);
                  return {value.cos * factor, value.sin * factor};
                });
}

HostTable build_table(const RotaryParameters& parameters, std::int64_t rows, TableFlavor flavor,
                      TableLayout layout, std::int64_t length) {
  return flavor == TableFlavor::exact
             ? build_table(make_frequencies(parameters, length), rows, layout)
             : build_table(make_fp32_frequencies(parameters, length), rows, layout);
}

std::vector<std::uint16_t> to_16_bit(const HostTable& table, Dtype dtype) {
  if (dtype == Dtype::float32) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("dtype = {}: must be float16 or bfloat16", name(dtype)));
  }
  std::vector<std::uint16_t> rounded(table.values.size());
  for (std::size_t i = 0; i < rounded.size(); ++i) {
    store_element(dtype, &rounded[i], static_cast<double>(table.values[i]));
  }
  return rounded;
}

}  // namespace ropejit
