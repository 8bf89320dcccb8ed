#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "ropejit/error.h"
#include "ropejit/model.h"
#include "src/text.h"

namespace ropejit {
namespace {

/// The values that each dimension takes. Their product, in this order of nesting, is the result.
struct Dimensions {
  std::vector<PositionMode> positions;
  std::optional<std::vector<IndexType>> index_type;  ///< nothing: usual_index_types()
  std::vector<AngleSource> angles;
  std::vector<Direction> direction;
  std::vector<int> alignment;
  std::vector<Dtype> dtype;
  std::vector<Layout> layout;
};

constexpr auto kNames = std::to_array<std::string_view>(
    {"positions", "index_type", "angles", "direction", "alignment", "dtype", "layout"});

Dimensions default_dimensions(const RopeSpec& base) {
  return {.positions = {PositionMode::offset, PositionMode::sequence_offsets,
                        PositionMode::token_ids, PositionMode::ragged},
          .index_type = std::nullopt,
          .angles = {AngleSource::exact},
          .direction = {Direction::forward},
          .alignment = {16},
          .dtype = {base.dtype},
          .layout = {base.layout}};
}

Dimensions all_dimensions(const RopeSpec& base) {
  Dimensions all = default_dimensions(base);
  all.index_type = {IndexType::int32, IndexType::int64};
  all.angles = {AngleSource::exact, AngleSource::table};
  all.direction = {Direction::forward, Direction::inverse};
  return all;
}

/// Token ids come from a framework, which makes them int64, or from a serving engine, which makes
/// them int32; offsets and cu_seqlens are int32 in practice.
std::vector<IndexType> usual_index_types(PositionMode positions) {
  if (positions == PositionMode::token_ids) return {IndexType::int32, IndexType::int64};
  return {IndexType::int32};
}

[[noreturn]] void refuse(std::string_view message) {
  throw Error(ErrorCode::invalid_argument, fmt::format("variants: {}", message));
}

int parse_alignment(std::string_view text, std::string_view field) {
  constexpr auto kValues = std::to_array<std::string_view>({"2", "4", "8", "16", "32"});
  constexpr std::array<int, 5> kBytes = {2, 4, 8, 16, 32};
  const auto found = std::find(kValues.begin(), kValues.end(), text);
  if (found != kValues.end()) return kBytes[static_cast<std::size_t>(found - kValues.begin())];
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{} = {}: must be {}; nearest known: {}", field, text, join_or(kValues),
                          nearest(text, kValues)));
}

template <typename Value>
std::vector<Value> parse_list(std::string_view name, std::string_view list,
                              Value (*parse)(std::string_view, std::string_view)) {
  const std::string field = fmt::format("variants: {}", name);
  std::vector<Value> values;
  for (const std::string_view item : split(list, ',')) values.push_back(parse(item, field));
  return values;
}

void set_dimension(Dimensions& dimensions, std::string_view name, std::string_view list) {
  if (name == "positions") {
    dimensions.positions = parse_list(name, list, parse_position_mode);
  } else if (name == "index_type") {
    dimensions.index_type = parse_list(name, list, parse_index_type);
  } else if (name == "angles") {
    dimensions.angles = parse_list(name, list, parse_angle_source);
  } else if (name == "direction") {
    dimensions.direction = parse_list(name, list, parse_direction);
  } else if (name == "alignment") {
    dimensions.alignment = parse_list(name, list, parse_alignment);
  } else if (name == "dtype") {
    dimensions.dtype = parse_list(name, list, parse_dtype);
  } else if (name == "layout") {
    dimensions.layout = parse_list(name, list, parse_layout);
  } else {
    refuse(fmt::format("{}: unknown dimension; nearest known: {}", name, nearest(name, kNames)));
  }
}

Dimensions parse_dimensions(const RopeSpec& base, std::string_view text) {
  Dimensions dimensions = default_dimensions(base);
  std::vector<std::string_view> seen;
  for (const std::string_view part : split(text, ';')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) {
      constexpr auto kSets = std::to_array<std::string_view>({"default", "all"});
      refuse(fmt::format("{}: must be default, all or dimension=value,value;...; nearest known: {}",
                         part, nearest(part, kSets)));
    }
    const std::string_view name = trim(part.substr(0, equals));
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
      refuse(fmt::format("{}: given twice", name));
    }
    seen.push_back(name);
    set_dimension(dimensions, name, part.substr(equals + 1));
  }
  return dimensions;
}

void append(std::vector<RopeSpec>& specs, const RopeSpec& spec) {
  if (std::find(specs.begin(), specs.end(), spec) == specs.end()) specs.push_back(spec);
}

/// The product of all but the positions, appended to `specs`.
void append_product(std::vector<RopeSpec>& specs, const Dimensions& dimensions, RopeSpec spec) {
  for (const AngleSource angles : dimensions.angles) {
    for (const Direction direction : dimensions.direction) {
      for (const int alignment : dimensions.alignment) {
        for (const Dtype dtype : dimensions.dtype) {
          for (const Layout layout : dimensions.layout) {
            spec.angles = angles;
            spec.direction = direction;
            spec.alignment = alignment;
            spec.dtype = dtype;
            spec.layout = layout;
            append(specs, spec);
          }
        }
      }
    }
  }
}

}  // namespace

std::vector<RopeSpec> expand_variants(const RopeSpec& base, std::string_view variants) {
  variants = trim(variants);
  const Dimensions dimensions = variants == "default" ? default_dimensions(base)
                                : variants == "all"   ? all_dimensions(base)
                                                      : parse_dimensions(base, variants);
  std::vector<RopeSpec> specs;
  for (const PositionMode positions : dimensions.positions) {
    for (const IndexType index : dimensions.index_type.value_or(usual_index_types(positions))) {
      RopeSpec spec = base;
      spec.positions = positions;
      // The index type of `offset` is ignored: one value, so that equal kernels are equal specs.
      spec.index_type = positions == PositionMode::offset ? IndexType::int32 : index;
      append_product(specs, dimensions, spec);
    }
  }
  for (const RopeSpec& spec : specs) validate(spec);
  return specs;
}

}  // namespace ropejit
