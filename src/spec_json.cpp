#include "src/spec_json.h"

#include <array>
#include <nlohmann/json.hpp>

#include "ropejit/error.h"
#include "src/json_fields.h"
#include "src/text.h"

namespace ropejit {
namespace {

constexpr auto kKeys = std::to_array<std::string_view>(
    {"head_dim", "rotary_dim", "dtype", "layout", "q_heads", "kv_heads", "positions", "index_type",
     "angles", "direction", "alignment", "theta"});

void read_int(const JsonValue& object, std::string_view key, int& field) {
  if (const auto value = object.find(key)) field = value->to_int();
}

template <typename Enum>
void read_enum(const JsonValue& object, std::string_view key,
               Enum (*parse)(std::string_view, std::string_view), Enum& field) {
  if (const auto value = object.find(key)) field = to_enum(*value, parse);
}

RopeSpec read_fields(const JsonValue& object) {
  RopeSpec spec;
  spec.head_dim = require(object, "head_dim", "a spec").to_int();
  read_int(object, "rotary_dim", spec.rotary_dim);
  read_enum(object, "dtype", parse_dtype, spec.dtype);
  read_enum(object, "layout", parse_layout, spec.layout);
  spec.q_heads = require(object, "q_heads", "a spec").to_int();
  spec.kv_heads = require(object, "kv_heads", "a spec").to_int();
  read_enum(object, "positions", parse_position_mode, spec.positions);
  read_enum(object, "index_type", parse_index_type, spec.index_type);
  read_enum(object, "angles", parse_angle_source, spec.angles);
  read_enum(object, "direction", parse_direction, spec.direction);
  read_int(object, "alignment", spec.alignment);
  return spec;
}

}  // namespace

SpecFile read_spec(const JsonValue& object) {
  check_keys(object, kKeys);
  SpecFile file;
  file.spec = read_fields(object);
  const auto theta = object.find("theta");
  const double base = theta ? theta->to_double() : 10000.0;
  try {
    validate(file.spec);
    file.frequencies = default_frequencies(file.spec.rotary(), base);
  } catch (const Error& error) {
    throw Error(error.code(), prefix(object) + error.what());
  }
  return file;
}

std::vector<SpecFile> parse_specs(std::string_view json, const std::string& origin) {
  const JsonValue document = JsonValue::parse(json, origin);
  if (document.is_object()) return {read_spec(document)};
  if (!document.is_list()) document.fail("must be an object or a list of objects");
  std::vector<SpecFile> specs;
  for (const JsonValue& item : document.items()) specs.push_back(read_spec(item));
  if (specs.empty()) document.fail("must hold at least one spec");
  return specs;
}

std::vector<SpecFile> load_specs(const std::string& path) {
  return parse_specs(read_text(path), path);
}

std::string to_json(const RopeSpec& spec) {
  nlohmann::ordered_json object;
  object["head_dim"] = spec.head_dim;
  object["rotary_dim"] = spec.rotary_dim;
  object["dtype"] = name(spec.dtype);
  object["layout"] = name(spec.layout);
  object["q_heads"] = spec.q_heads;
  object["kv_heads"] = spec.kv_heads;
  object["positions"] = name(spec.positions);
  object["index_type"] = name(spec.index_type);
  object["angles"] = name(spec.angles);
  object["direction"] = name(spec.direction);
  object["alignment"] = spec.alignment;
  return object.dump();
}

}  // namespace ropejit
