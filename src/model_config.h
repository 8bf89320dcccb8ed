#ifndef ROPEJIT_SRC_MODEL_CONFIG_H_
#define ROPEJIT_SRC_MODEL_CONFIG_H_

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "src/json_value.h"
#include "src/model_family.h"

namespace ropejit {

// The reading of a Hugging Face config.json, as far as its fields have something in common.

/// One quantity, many spellings: families and versions of transformers differ. The first is the
/// current one.
using Spellings = std::span<const std::string_view>;

/// The parts of a config.json that describe the language model.
struct ModelConfig {
  JsonValue root;
  JsonValue text;               ///< the nested part of a multimodal model, else the root
  std::vector<JsonValue> rope;  ///< rope_parameters and rope_scaling, where present
  std::string model_type;       ///< empty if absent
  bool family_known = false;
  ModelFamily family;
};

ModelConfig open_config(std::string_view json, const std::string& origin);

/// A value and where it was read, for complaints about it.
template <typename Value>
struct Field {
  Value value;
  JsonValue source;
};

/// Every one of the spellings that is in one of the objects.
std::vector<JsonValue> find_all(const std::vector<JsonValue>& places, Spellings spellings);

/// What all of `found` say; nothing if it is empty. Throws where two contradict each other.
template <typename Read, typename Value = std::invoke_result_t<Read, const JsonValue&>>
std::optional<Field<Value>> agreed(const std::vector<JsonValue>& found, Read read) {
  std::optional<Field<Value>> first;
  for (const JsonValue& source : found) {
    Value value = std::invoke(read, source);
    if (!first) {
      first = Field<Value>{std::move(value), source};
    } else if (value != first->value) {
      source.fail("contradicts " + first->source.describe());
    }
  }
  return first;
}

/// Throws Error(invalid_argument) that the config's origin precedes.
[[noreturn]] void refuse(const ModelConfig& config, std::string_view message);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_MODEL_CONFIG_H_
