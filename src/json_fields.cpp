#include "src/json_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "ropejit/error.h"
#include "src/text.h"

namespace ropejit {

std::string prefix(const JsonValue& object) {
  const std::string& path = object.path();
  return object.origin() + ": " + path + (path.empty() ? "" : ": ");
}

void check_keys(const JsonValue& object, std::span<const std::string_view> known) {
  for (const std::string& key : object.keys()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}{}: unknown key; nearest known: {}", prefix(object),
                            nlohmann::json(key).dump(-1, ' ', true), nearest(key, known)));
  }
}

JsonValue require(const JsonValue& object, std::string_view key, std::string_view what) {
  if (std::optional<JsonValue> value = object.find(key)) return *std::move(value);
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}{}: missing; {} must have it", prefix(object), key, what));
}

}  // namespace ropejit
