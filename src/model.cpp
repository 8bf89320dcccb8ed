#include "ropejit/model.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "ropejit/error.h"
#include "src/json_value.h"
#include "src/model_family.h"
#include "src/text.h"

namespace ropejit {
namespace {

// One quantity, many spellings: families and versions of transformers differ. The first is the
// current one. `kTheta` and `kPartialFactor` also stand inside rope_parameters (transformers 5).
using Spellings = std::span<const std::string_view>;
constexpr std::string_view kTextConfigs[] = {"text_config", "llm_config", "language_config"};
constexpr std::string_view kRopeObjects[] = {"rope_parameters", "rope_scaling"};
constexpr std::string_view kRopeTypes[] = {"rope_type", "type"};
constexpr std::string_view kHiddenSize[] = {"hidden_size", "n_embd", "d_model"};
constexpr std::string_view kHeads[] = {"num_attention_heads", "n_head", "num_heads"};
constexpr std::string_view kKvHeads[] = {"num_key_value_heads", "num_kv_heads", "n_head_kv"};
constexpr std::string_view kHeadDim[] = {"head_dim"};
constexpr std::string_view kTheta[] = {"rope_theta", "rotary_emb_base"};
constexpr std::string_view kPartialFactor[] = {"partial_rotary_factor", "rotary_pct", "rope_pct"};
constexpr std::string_view kRotaryDim[] = {"rotary_dim"};
constexpr std::string_view kDtype[] = {"dtype", "torch_dtype"};

/// A key whose mere presence means a rotation that is not the plain one.
struct Obstacle {
  std::string_view key;
  std::string_view what;
};
constexpr Obstacle kObstacles[] = {
    {"qk_rope_head_dim", "multi-head latent attention (MLA) is not supported yet"},
    {"rope_local_base_freq", "a rotary base per layer type is not supported yet"},
    {"local_rope_theta", "a rotary base per layer type is not supported yet"},
    {"rope_ratio", "a scaled rotary base is not supported yet"},
};
constexpr std::string_view kPerLayerType = "rotary parameters per layer type are not supported yet";

/// The parts of a config.json that describe the language model.
struct Config {
  JsonValue root;
  JsonValue text;               ///< the nested part of a multimodal model, else the root
  std::vector<JsonValue> rope;  ///< rope_parameters and rope_scaling, where present
  std::string model_type;       ///< empty if absent
  bool family_known = false;
  ModelFamily family;
};

/// A value and where it was read, for complaints about it.
template <typename Value>
struct Field {
  Value value;
  JsonValue source;
};

std::vector<JsonValue> find_all(const std::vector<JsonValue>& places, Spellings spellings) {
  std::vector<JsonValue> found;
  for (const JsonValue& place : places) {
    for (const std::string_view key : spellings) {
      if (auto value = place.find(key)) found.push_back(*std::move(value));
    }
  }
  return found;
}

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

[[noreturn]] void refuse(const Config& config, std::string_view message) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: {}", config.root.origin(), message));
}

Config open_config(std::string_view json, const std::string& origin) {
  const JsonValue root = JsonValue::parse(json, origin);
  const std::vector<JsonValue> nested = find_all({root}, kTextConfigs);
  const JsonValue text = nested.empty() ? root : nested.front();
  Config config{root, text, find_all({text}, kRopeObjects), {}, false, {}};
  auto type = text.find("model_type");
  if (!type) type = root.find("model_type");
  if (type) config.model_type = type->to_text();
  if (const ModelFamily* family = find_family(config.model_type)) {
    config.family = *family;
    config.family_known = true;
  }
  return config;
}

/// What keeps one rope_parameters or rope_scaling object from being the plain rotation.
void collect_scaling(const JsonValue& rope, std::vector<std::string>& obstacles) {
  if (const auto section = rope.find("mrope_section")) {
    obstacles.push_back(section->path() + ": multimodal rotation (mrope) is not supported yet");
    return;
  }
  for (const std::string& key : rope.keys()) {
    const auto member = rope.find(key);
    if (!member || !member->is_object()) continue;
    obstacles.push_back(fmt::format("{}: {}", member->path(), kPerLayerType));
    return;
  }
  const auto type = agreed(find_all({rope}, kRopeTypes), &JsonValue::to_text);
  const auto factor = rope.find("factor");
  if (!type && factor) factor->fail("needs " + rope.path() + ".rope_type, which is missing");
  if (!type || type->value == "default") return;
  obstacles.push_back(
      fmt::format("{} = {}: this rotary scaling is not supported yet; supported: default",
                  type->source.path(), type->value));
}

/// Throws Error(unsupported) that names everything that is in the way of the plain rotation.
void require_plain(const Config& config) {
  std::vector<std::string> obstacles;
  for (const Obstacle& obstacle : kObstacles) {
    if (const auto value = config.text.find(obstacle.key)) {
      obstacles.push_back(fmt::format("{}: {}", value->describe(), obstacle.what));
    }
  }
  if (obstacles.empty() && config.family.rope_per_layer_type) {
    obstacles.push_back(fmt::format("model_type = {}: {}", config.model_type, kPerLayerType));
  }
  const auto alibi = config.text.find("alibi");
  if (alibi && alibi->to_bool()) {
    obstacles.push_back(alibi->describe() + ": the model has no rotary embedding");
  }
  for (const JsonValue& rope : config.rope) collect_scaling(rope, obstacles);
  if (obstacles.empty()) return;
  throw Error(ErrorCode::unsupported,
              fmt::format("{}: {}", config.root.origin(), fmt::join(obstacles, "; ")));
}

/// A whole number from `least` to `most` that the file has to have.
int required_int(const Config& config, Spellings spellings, int least, int most) {
  const auto field = agreed(find_all({config.text}, spellings), &JsonValue::to_int);
  if (!field) {
    const std::string& path = config.text.path();
    refuse(config, fmt::format("{}{}{}: missing (also read: {})", path, path.empty() ? "" : ".",
                               spellings.front(), fmt::join(spellings.subspan(1), ", ")));
  }
  if (field->value < least || field->value > most) {
    field->source.fail(fmt::format("must be from {} to {}", least, most));
  }
  return field->value;
}

int read_kv_heads(const Config& config, int q_heads) {
  const auto count = agreed(find_all({config.text}, kKvHeads), &JsonValue::to_int);
  const auto grouped = config.text.find("new_decoder_architecture");
  const auto single = config.text.find("multi_query");
  const bool multi_query =
      (single ? single->to_bool() : config.family.multi_query) && !(grouped && grouped->to_bool());
  if (!multi_query) {
    if (count && (count->value < 1 || count->value > 512)) {
      count->source.fail("must be from 1 to 512");
    }
    return count ? count->value : q_heads;
  }
  // A saved Falcon configuration has num_kv_heads = num_attention_heads where nobody set it.
  if (count && count->value != 1 && count->value != q_heads) {
    count->source.fail(fmt::format("contradicts {}", single ? single->describe()
                                                            : "multi_query = true, the default of "
                                                              "model_type " +
                                                                  config.model_type));
  }
  return 1;
}

int read_head_dim(const Config& config, int q_heads) {
  const auto check = [&](int head_dim, const std::string& source) {
    if (head_dim >= 2 && head_dim <= 1024 && head_dim % 2 == 0) return head_dim;
    refuse(config, source + ": must be even, from 2 to 1024");
  };
  const auto field = agreed(find_all({config.text}, kHeadDim), &JsonValue::to_int);
  if (field) return check(field->value, field->source.describe());
  if (config.family.head_dim != 0) return config.family.head_dim;
  const int hidden_size = required_int(config, kHiddenSize, 1, 1 << 24);
  if (hidden_size % q_heads != 0) {
    refuse(config, fmt::format("hidden_size = {}: must be divisible by num_attention_heads ({}) "
                               "where head_dim is absent",
                               hidden_size, q_heads));
  }
  const int head_dim = hidden_size / q_heads;
  return check(head_dim, fmt::format("head_dim = {} (hidden_size {} / num_attention_heads {})",
                                     head_dim, hidden_size, q_heads));
}

/// transformers' rounding: int(head_dim * factor) in double.
int share(int head_dim, double factor) { return static_cast<int>(head_dim * factor); }

int read_rotary_dim(const Config& config, int head_dim) {
  std::vector<JsonValue> places = config.rope;
  places.push_back(config.text);
  const auto factor = agreed(find_all(places, kPartialFactor), &JsonValue::to_double);
  const auto absolute = agreed(find_all({config.text}, kRotaryDim), &JsonValue::to_int);
  if (factor && !(factor->value > 0.0 && factor->value <= 1.0)) {
    factor->source.fail("must be above 0 and at most 1");
  }
  if (factor && absolute && share(head_dim, factor->value) != absolute->value) {
    absolute->source.fail(
        fmt::format("contradicts {} with head_dim {}", factor->source.describe(), head_dim));
  }
  const int implied = config.family.rotary_dim != 0 ? config.family.rotary_dim
                                                    : share(head_dim, config.family.partial_factor);
  const int rotary_dim = absolute ? absolute->value
                         : factor ? share(head_dim, factor->value)
                                  : implied;
  if (rotary_dim >= 2 && rotary_dim <= head_dim && rotary_dim % 2 == 0) return rotary_dim;
  const std::string rule = fmt::format("must be even, from 2 to head_dim ({})", head_dim);
  if (absolute) absolute->source.fail(rule);
  if (factor) factor->source.fail(fmt::format("rotary_dim = {}: {}", rotary_dim, rule));
  refuse(config, fmt::format("rotary_dim = {} (the default of model_type {}): {}", rotary_dim,
                             config.model_type, rule));
}

double read_theta(const Config& config) {
  std::vector<JsonValue> places = config.rope;
  places.push_back(config.text);
  const auto theta = agreed(find_all(places, kTheta), &JsonValue::to_double);
  if (!theta) return config.family.theta;
  if (!(theta->value >= 1.0 && std::isfinite(theta->value))) {
    theta->source.fail("must be a finite number of at least 1");
  }
  return theta->value;
}

/// A file without a dtype (GPT-J's) gets RopeSpec's default.
Dtype read_dtype(const Config& config) {
  std::vector<JsonValue> found = find_all({config.text}, kDtype);
  if (found.empty()) found = find_all({config.root}, kDtype);
  const auto dtype = agreed(found, [](const JsonValue& value) {
    return parse_dtype(value.to_text(), fmt::format("{}: {}", value.origin(), value.path()));
  });
  return dtype ? dtype->value : RopeSpec{}.dtype;
}

std::string layout_reason(const Config& config) {
  if (config.family_known) return "model_type " + config.model_type;
  if (config.model_type.empty()) return "assumed: model_type is missing";
  return fmt::format("assumed: model_type {} is not known", config.model_type);
}

/// `llama (llama-3-8b)`: the folder of a config.json, the name of any other file.
std::string model_name(const Config& config) {
  const std::filesystem::path path(config.root.origin());
  const std::filesystem::path folder = path.parent_path().filename();
  const bool in_folder = path.filename() == "config.json" && !folder.empty();
  const std::string place = (in_folder ? folder : path.filename()).string();
  return config.model_type.empty() ? place : fmt::format("{} ({})", config.model_type, place);
}

}  // namespace

ModelRope parse_model(std::string_view json, const std::string& origin) {
  const Config config = open_config(json, origin);
  require_plain(config);
  ModelRope model;
  model.model = model_name(config);
  model.spec.q_heads = required_int(config, kHeads, 1, 512);
  model.spec.kv_heads = read_kv_heads(config, model.spec.q_heads);
  model.spec.head_dim = read_head_dim(config, model.spec.q_heads);
  model.spec.rotary_dim = read_rotary_dim(config, model.spec.head_dim);
  model.spec.dtype = read_dtype(config);
  model.spec.layout = config.family.layout;
  model.theta = read_theta(config);
  model.frequencies = default_frequencies(model.spec.rotary_dim, model.theta);
  model.layout_reason = layout_reason(config);
  return model;
}

ModelRope load_model(const std::string& path) { return parse_model(read_text(path), path); }

}  // namespace ropejit
