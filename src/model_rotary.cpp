#include "src/model_rotary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "ropejit/error.h"
#include "src/model_scaling.h"

namespace ropejit {
namespace {

constexpr std::string_view kMaxPositions[] = {"max_position_embeddings", "n_positions", "n_ctx"};
constexpr std::string_view kRotaryDim[] = {"rotary_dim"};
// ModernBERT calls the two bases global and local, Gemma-3 leaves the first as it was.
constexpr std::string_view kGlobalTheta[] = {"rope_theta", "rotary_emb_base", "global_rope_theta"};
constexpr std::string_view kLocalTheta[] = {"rope_local_base_freq", "local_rope_theta"};
constexpr const char* kGlobalLayers = "full_attention";
constexpr const char* kLocalLayers = "sliding_attention";

/// The layers that share their rotary parameters, and where those are said.
struct LayerSource {
  std::string name;  ///< empty: all layers
  std::vector<JsonValue> objects;
  Spellings outer_theta = kGlobalTheta;  ///< the base's spellings outside of the objects
  double default_theta = 10000.0;
};

/// The layer types that the objects have parameters for (transformers 5).
std::set<std::string> layer_types(const std::vector<JsonValue>& objects) {
  std::set<std::string> types;
  for (const JsonValue& object : objects) {
    for (const std::string& key : object.keys()) {
      const auto member = object.find(key);
      if (member && member->is_object()) types.insert(key);
    }
  }
  return types;
}

/// Parameters of all layers have no place beside those of each type.
void check_nothing_beside(const std::vector<JsonValue>& objects,
                          const std::set<std::string>& types) {
  for (const JsonValue& object : objects) {
    for (const std::string& key : object.keys()) {
      const auto member = object.find(key);
      if (!member || member->is_object()) continue;
      member->fail(fmt::format("stands beside parameters per layer type ({})", *types.begin()));
    }
  }
}

std::vector<JsonValue> objects_of(const std::vector<JsonValue>& objects, const std::string& type) {
  const std::string_view key[] = {type};
  return find_all(objects, key);
}

/// Whether local layers turn at a base of their own.
bool has_local_layers(const ModelConfig& config) {
  return config.family.local_theta != 0.0 || !find_all({config.text}, kLocalTheta).empty();
}

std::vector<LayerSource> layer_sources(const ModelConfig& config) {
  std::set<std::string> types = layer_types(config.rope);
  if (!types.empty()) check_nothing_beside(config.rope, types);
  const bool nested = !types.empty();
  const bool local = has_local_layers(config);
  if (!nested && !local) return {{"", config.rope, kGlobalTheta, config.family.theta}};
  if (local) types.insert({kGlobalLayers, kLocalLayers});
  std::vector<LayerSource> layers;
  for (const std::string& type : types) {
    LayerSource layer{type, objects_of(config.rope, type), kGlobalTheta, config.family.theta};
    // Scaling that is not said per layer type is of the global layers.
    if (!nested && type == kGlobalLayers) layer.objects = config.rope;
    if (local && type == kLocalLayers) {
      layer.outer_theta = kLocalTheta;
      layer.default_theta = config.family.local_theta;
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

double read_theta(const ModelConfig& config, const LayerSource& layer) {
  std::vector<JsonValue> found = find_all(layer.objects, kTheta);
  const std::vector<JsonValue> outside = find_all({config.text}, layer.outer_theta);
  found.insert(found.end(), outside.begin(), outside.end());
  const auto theta = agreed(found, &JsonValue::to_double);
  if (!theta) return layer.default_theta;
  if (!(theta->value >= 1.0 && std::isfinite(theta->value))) {
    theta->source.fail("must be a finite number of at least 1");
  }
  return theta->value;
}

/// transformers' rounding: int(head_dim * factor) in double.
int share(int head_dim, double factor) { return static_cast<int>(head_dim * factor); }

/// The dimensions that the layer's frequencies are of.
int read_rotary_dim(const ModelConfig& config, const LayerSource& layer, int head_dim) {
  std::vector<JsonValue> places = layer.objects;
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
  int rotary_dim = absolute ? absolute->value : factor ? share(head_dim, factor->value) : implied;
  // Of proportional frequencies, transformers rounds the pairs that turn.
  if (find_scaling(layer.objects) == Scaling::proportional) rotary_dim -= rotary_dim % 2;
  if (rotary_dim >= 2 && rotary_dim <= head_dim && rotary_dim % 2 == 0) return rotary_dim;
  const std::string rule = fmt::format("must be even, from 2 to head_dim ({})", head_dim);
  if (absolute) absolute->source.fail(rule);
  if (factor) factor->source.fail(fmt::format("rotary_dim = {}: {}", rotary_dim, rule));
  refuse(config, fmt::format("rotary_dim = {} (the default of model_type {}): {}", rotary_dim,
                             config.model_type, rule));
}

RotarySet read_set(const ModelConfig& config, const LayerSource& layer, int head_dim) {
  RotarySet set;
  set.name = layer.name;
  set.parameters.head_dim = head_dim;
  set.parameters.rotary_dim = read_rotary_dim(config, layer, head_dim);
  set.parameters.theta = read_theta(config, layer);
  read_scaling({&config, layer.objects, read_max_position_embeddings(config)}, set.parameters);
  set.frequencies = make_frequencies(set.parameters);
  return set;
}

/// One kernel serves all layers.
void check_same_width(const ModelConfig& config, const std::vector<RotarySet>& sets) {
  for (const RotarySet& set : sets) {
    const std::size_t pairs = sets.front().frequencies.turns.size();
    if (set.frequencies.turns.size() == pairs) continue;
    throw Error(ErrorCode::unsupported,
                fmt::format("{}: {} rotates {} dimensions and {} {}: layers that differ in them "
                            "are not supported yet",
                            config.root.origin(), sets.front().name, 2 * pairs, set.name,
                            2 * set.frequencies.turns.size()));
  }
}

}  // namespace

std::int64_t read_max_position_embeddings(const ModelConfig& config) {
  const auto field = agreed(find_all({config.text}, kMaxPositions), &JsonValue::to_int);
  if (!field) return config.family.max_position_embeddings;
  if (field->value < 1) field->source.fail("must be at least 1");
  return field->value;
}

std::vector<std::string> rotary_obstacles(const ModelConfig& config) {
  std::vector<JsonValue> objects = config.rope;
  for (const std::string& type : layer_types(config.rope)) {
    const std::vector<JsonValue> nested = objects_of(config.rope, type);
    objects.insert(objects.end(), nested.begin(), nested.end());
  }
  std::vector<std::string> obstacles;
  for (const JsonValue& object : objects) {
    if (const auto section = object.find("mrope_section")) {
      obstacles.push_back(section->path() + ": multimodal rotation (mrope) is not supported yet");
    } else if (!find_scaling({object})) {
      obstacles.push_back(fmt::format("{}: this rotary scaling is not supported yet; supported: {}",
                                      scaling_name({object}), supported_scalings()));
    }
  }
  return obstacles;
}

std::vector<RotarySet> read_rotary_sets(const ModelConfig& config, int head_dim) {
  std::vector<RotarySet> sets;
  for (const LayerSource& layer : layer_sources(config)) {
    sets.push_back(read_set(config, layer, head_dim));
  }
  check_same_width(config, sets);
  return sets;
}

}  // namespace ropejit
