#include "src/model_config.h"

#include <fmt/format.h>

#include "ropejit/error.h"

namespace ropejit {
namespace {

constexpr std::string_view kTextConfigs[] = {"text_config", "llm_config", "language_config"};
constexpr std::string_view kRopeObjects[] = {"rope_parameters", "rope_scaling"};

}  // namespace

ModelConfig open_config(std::string_view json, const std::string& origin) {
  const JsonValue root = JsonValue::parse(json, origin);
  const std::vector<JsonValue> nested = find_all({root}, kTextConfigs);
  const JsonValue text = nested.empty() ? root : nested.front();
  ModelConfig config{root, text, find_all({text}, kRopeObjects), {}, false, {}};
  auto type = text.find("model_type");
  if (!type) type = root.find("model_type");
  if (type) config.model_type = type->to_text();
  if (const ModelFamily* family = find_family(config.model_type)) {
    config.family = *family;
    config.family_known = true;
  }
  return config;
}

std::vector<JsonValue> find_all(const std::vector<JsonValue>& places, Spellings spellings) {
  std::vector<JsonValue> found;
  for (const JsonValue& place : places) {
    for (const std::string_view key : spellings) {
      if (auto value = place.find(key)) found.push_back(*std::move(value));
    }
  }
  return found;
}

void refuse(const ModelConfig& config, std::string_view message) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: {}", config.root.origin(), message));
}

}  // namespace ropejit
