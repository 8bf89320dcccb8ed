#include "ropejit/table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <vector>

#include "ropejit/reference.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

constexpr std::uint64_t kQuarterTurn = std::uint64_t{1} << 62;
constexpr TableLayout kLayouts[] = {TableLayout::separate, TableLayout::concatenated,
                                    TableLayout::duplicated};

/// Two pairs that turn by a quarter and by a half: cosines and sines without rounding.
Frequencies quarter_and_half() {
  Frequencies frequencies;
  frequencies.turns = {kQuarterTurn, 2 * kQuarterTurn};
  return frequencies;
}

RotaryParameters llama_2() {
  RotaryParameters parameters;
  parameters.rotary_dim = 128;
  return parameters;
}

std::vector<float> without_noise(std::vector<float> values) {
  for (float& value : values) value = std::round(value);  // a double's sine of π is not quite 0
  for (float& value : values) value += 0.0f;              // -0 is 0
  return values;
}

/// One head of `rotary_dim` elements per token, rotated by the table.
std::vector<float> rotated(const CosSinTable& table, std::vector<float> tokens, int rotary_dim) {
  RopeSpec spec;
  spec.head_dim = rotary_dim;
  spec.dtype = Dtype::float32;
  spec.angles = AngleSource::table;
  spec.q_heads = 1;
  spec.kv_heads = 1;
  spec.alignment = 4;
  RopeArgs args;
  args.seq = static_cast<std::int64_t>(tokens.size()) / rotary_dim;
  args.table = table;
  std::vector<float> out(tokens.size());
  args.q = dense_bshd(tokens.data(), args.seq, 1, rotary_dim);
  args.q_out = dense_bshd(out.data(), args.seq, 1, rotary_dim);
  apply_reference(spec, Frequencies{}, args);
  return out;
}

}  // namespace

TEST_CASE("an exact table holds the floats nearest to 25-digit values, at a million too") {
  std::ifstream file(ROPEJIT_TEST_DATA "/exact_angles.json");
  REQUIRE(file);
  std::map<std::uint64_t, std::vector<nlohmann::json>> by_turns;
  for (const nlohmann::json& row : nlohmann::json::parse(file)) {
    const auto position = row.at("position").get<std::int64_t>();
    if (position < 0 || position > 1'000'000) continue;
    by_turns[std::stoull(row.at("turns64").get<std::string>())].push_back(row);
  }
  std::size_t checked = 0;
  for (const auto& [turns, rows] : by_turns) {
    Frequencies frequencies;
    frequencies.turns = {turns};
    const HostTable table = build_table(frequencies, 1'000'001);
    const CosSinTable view = table.view();
    for (const nlohmann::json& row : rows) {
      const auto position = row.at("position").get<std::int64_t>();
      CAPTURE(turns);
      CAPTURE(position);
      CHECK(view.cos[position] == std::stof(row.at("cos").get<std::string>()));
      CHECK(view.sin[position] == std::stof(row.at("sin").get<std::string>()));
      ++checked;
    }
  }
  CHECK(checked == 180);
}

TEST_CASE("each layout is as its name says") {
  const auto values = [](TableLayout layout) {
    return without_noise(build_table(quarter_and_half(), 3, layout).values);
  };
  CHECK(values(TableLayout::separate) == std::vector<float>{1, 1, 0, -1, -1, 1,  //
                                                            0, 0, 1, 0, 0, 0});
  CHECK(values(TableLayout::concatenated) == std::vector<float>{1, 1, 0, 0,   //
                                                                0, -1, 1, 0,  //
                                                                -1, 1, 0, 0});
  CHECK(values(TableLayout::duplicated) ==
        std::vector<float>{1, 1, 1, 1, 0, -1, 0, -1, -1, 1, -1, 1,  //
                           0, 0, 0, 0, 1, 0,  1, 0,  0,  0, 0,  0});
}

TEST_CASE("every layout's view has the same cosine and sine for a position and pair") {
  const Frequencies frequencies = default_frequencies(24, 10000);
  for (const TableLayout layout : kLayouts) {
    const HostTable table = build_table(frequencies, 100, layout);
    const std::vector<float> copy = table.values;
    const CosSinTable own = table.view(), view = table.view(copy.data());
    CHECK(own.cos == table.values.data());
    CHECK(view.rows == 100);
    CHECK(view.columns == (layout == TableLayout::duplicated ? 24 : 12));
    for (std::int64_t position = 0; position < 100; ++position) {
      for (std::int64_t column = 0; column < view.columns; ++column) {
        const CosSin expected =
            exact_cos_sin(frequencies.turns[static_cast<std::size_t>(column % 12)], position);
        const std::int64_t at = position * view.row_stride + column;
        CHECK(view.cos[at] == static_cast<float>(expected.cos));
        CHECK(view.sin[at] == static_cast<float>(expected.sin));
      }
    }
  }
}

TEST_CASE("the attention factor is multiplied in before the one rounding of an exact table") {
  Frequencies frequencies = default_frequencies(64, 500000);
  frequencies.attention_factor = 1.1386294f;
  const HostTable table = build_table(frequencies, 1000);
  for (std::int64_t position = 0; position < 1000; ++position) {
    for (std::int64_t pair = 0; pair < 32; ++pair) {
      const long double angle = std::ldexp(static_cast<long double>(static_cast<std::int64_t>(
                                               static_cast<std::uint64_t>(position) *
                                               frequencies.turns[static_cast<std::size_t>(pair)])),
                                           -63) *
                                std::numbers::pi_v<long double>;
      const auto factor = static_cast<long double>(frequencies.attention_factor);
      const auto at = static_cast<std::size_t>(position * table.row_stride + pair);
      CHECK(table.values[at] == static_cast<float>(std::cos(angle) * factor));
    }
  }
}

TEST_CASE("a float32 table multiplies, takes cosine and sine, and scales in float32") {
  const Fp32Frequencies frequencies{{1.0f, 0.3f, 1e-4f}, 1.25f};
  const HostTable table = build_table(frequencies, 3000, TableLayout::concatenated);
  for (std::int64_t position = 0; position < 3000; ++position) {
    for (std::int64_t pair = 0; pair < 3; ++pair) {
      const float angle =
          static_cast<float>(position) * frequencies.radians[static_cast<std::size_t>(pair)];
      const auto cos = static_cast<float>(std::cos(static_cast<long double>(angle)));
      const auto sin = static_cast<float>(std::sin(static_cast<long double>(angle)));
      const std::int64_t at = position * table.row_stride + pair;
      CHECK(table.view().cos[at] == cos * 1.25f);
      CHECK(table.view().sin[at] == sin * 1.25f);
    }
  }
}

TEST_CASE("parameters give the table of their frequencies, of the flavour and length asked for") {
  RotaryParameters parameters = llama_2();
  parameters.scaling = Scaling::dynamic_ntk;
  parameters.factor = 2;
  parameters.original_max_position_embeddings = 64;
  for (const std::int64_t length : {0, 128}) {
    CHECK(
        build_table(parameters, 128, TableFlavor::exact, TableLayout::duplicated, length).values ==
        build_table(make_frequencies(parameters, length), 128, TableLayout::duplicated).values);
    CHECK(build_table(parameters, 128, TableFlavor::fp32_angle, TableLayout::concatenated, length)
              .values ==
          build_table(make_fp32_frequencies(parameters, length), 128, TableLayout::concatenated)
              .values);
  }
  CHECK(build_table(parameters, 128).values ==
        build_table(make_frequencies(parameters), 128, TableLayout::separate).values);
}

// docs/tables.md has these numbers.
TEST_CASE("the flavours part as positions grow, up to 4e-3 at the end of a context of 131,072") {
  const auto apart = [](std::int64_t last) {
    const HostTable exact = build_table(llama_2(), last + 1);
    const HostTable trained = build_table(llama_2(), last + 1, TableFlavor::fp32_angle);
    float worst = 0;
    for (std::int64_t i = last * exact.row_stride; i < (last + 1) * exact.row_stride; ++i) {
      worst = std::max(worst, std::fabs(exact.view().cos[i] - trained.view().cos[i]));
      worst = std::max(worst, std::fabs(exact.view().sin[i] - trained.view().sin[i]));
    }
    return worst;
  };
  const float near = apart(4095), far = apart(131071);
  INFO("at 4095: ", near, ", at 131071: ", far);
  CHECK(near > 0);
  CHECK(near < 3e-4f);
  CHECK(far > 1e-3f);
  CHECK(far < 8e-3f);
}

TEST_CASE("a call rotates by each layout as by the angles that made the table") {
  std::vector<float> tokens(5 * 4);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<float>(i + 1);
  for (const TableLayout layout : kLayouts) {
    const HostTable table = build_table(quarter_and_half(), 4, layout);
    const std::vector<float> out = rotated(table.view(), tokens, 4);
    CHECK(without_noise({out.begin(), out.begin() + 12}) ==
          std::vector<float>{1, 2, 3, 4, -7, -6, 5, -8, -9, 10, -11, 12});
    CHECK(std::isnan(out[16]));  // position 4 is behind the table
  }
}

TEST_CASE("a 16-bit copy rounds each value to nearest, ties to even, in the same order") {
  HostTable table;
  table.values = {1.0f,           -0.5f,       1 + 0x1p-11f, 1 + 0x3p-11f,
                  1 + 0x1.8p-11f, 1 + 0x1p-8f, 1 + 0x3p-8f};
  CHECK(to_16_bit(table, Dtype::float16) ==
        std::vector<std::uint16_t>{0x3c00, 0xb800, 0x3c00, 0x3c02, 0x3c01, 0x3c04, 0x3c0c});
  CHECK(to_16_bit(table, Dtype::bfloat16) ==
        std::vector<std::uint16_t>{0x3f80, 0xbf00, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f82});
  CHECK(refusal([&] { to_16_bit(table, Dtype::float32); }) ==
        "invalid_argument: dtype = float32: must be float16 or bfloat16");
}

TEST_CASE("a table without rows, pairs or a usable number is refused by name") {
  for (const std::int64_t rows : {std::int64_t{0}, std::int64_t{-1}, (std::int64_t{1} << 31) + 1}) {
    const std::string message =
        "invalid_argument: rows = " + std::to_string(rows) + ": must be from 1 to 2147483648";
    CHECK(refusal([&] { build_table(quarter_and_half(), rows); }) == message);
    CHECK(refusal([&] { build_table(Fp32Frequencies{{1}}, rows); }) == message);
    CHECK(refusal([&] { build_table(llama_2(), rows); }) == message);
  }
  CHECK(refusal([] { build_table(Frequencies{}, 1); }) ==
        "invalid_argument: frequencies.turns has 0 values: must have one per pair");
  CHECK(refusal([] { build_table(Fp32Frequencies{}, 1); }) ==
        "invalid_argument: frequencies.radians has 0 values: must have one per pair");
  CHECK(refusal([] {
          build_table(Fp32Frequencies{{1, NAN}}, 1);
        }) == "invalid_argument: frequencies.radians[1] = nan: must be finite");
  for (const float factor : {0.0f, -1.0f, std::numeric_limits<float>::infinity()}) {
    Frequencies frequencies = quarter_and_half();
    frequencies.attention_factor = factor;
    const std::string exact = refusal([&] { build_table(frequencies, 1); });
    CHECK(exact.starts_with("invalid_argument: frequencies.attention_factor = "));
    CHECK(refusal([&] { build_table(Fp32Frequencies{{1}, factor}, 1); }) == exact);
  }
  RotaryParameters odd = llama_2();
  odd.rotary_dim = 63;
  for (const TableFlavor flavor : {TableFlavor::exact, TableFlavor::fp32_angle}) {
    CHECK(refusal([&] { build_table(odd, 1, flavor); }).starts_with("invalid_argument: "));
  }
}

}  // namespace ropejit
