#include "ropejit/model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <vector>

#include "ropejit/error.h"
#include "src/model_config.h"
#include "src/model_rotary.h"
#include "src/text.h"

namespace ropejit {
namespace {

constexpr std::string_view kHiddenSize[] = {"hidden_size", "n_embd", "d_model"};
constexpr std::string_view kHeads[] = {"num_attention_heads", "n_head", "num_heads"};
constexpr std::string_view kKvHeads[] = {"num_key_value_heads", "num_kv_heads", "n_head_kv"};
constexpr std::string_view kHeadDim[] = {"head_dim"};
constexpr std::string_view kDtype[] = {"dtype", "torch_dtype"};
constexpr std::string_view kInterleaved[] = {"rope_interleave", "rope_interleaved",
                                             "rotary_emb_interleaved"};

/// A key that means another rotation than that of a head's first dimensions, unless it has the
/// neutral value.
struct Obstacle {
  std::string_view key;
  std::string_view what;
  double neutral = 0.0;
};
constexpr Obstacle kObstacles[] = {
    {"qk_rope_head_dim", "multi-head latent attention (MLA) is not supported yet"},
    {"global_head_dim", "head dimensions per layer type are not supported yet"},
    {"rope_ratio",
     "is not supported: it scales the base in some releases of ChatGLM and positions in others",
     1.0},
};

/// Throws Error(unsupported) that names everything that is in the way of a rotation of the head's
/// first dimensions by frequencies of theirs.
void require_head_prefix(const ModelConfig& config) {
  std::vector<std::string> obstacles;
  for (const Obstacle& obstacle : kObstacles) {
    const auto value = config.text.find(obstacle.key);
    if (!value || value->to_double() == obstacle.neutral) continue;
    obstacles.push_back(fmt::format("{}: {}", value->describe(), obstacle.what));
  }
  const auto alibi = config.text.find("alibi");
  if (alibi && alibi->to_bool()) {
    obstacles.push_back(alibi->describe() + ": the model has no rotary embedding");
  }
  const std::vector<std::string> rotary = rotary_obstacles(config);
  obstacles.insert(obstacles.end(), rotary.begin(), rotary.end());
  if (obstacles.empty()) return;
  throw Error(ErrorCode::unsupported,
              fmt::format("{}: {}", config.root.origin(), fmt::join(obstacles, "; ")));
}

/// A whole number from `least` to `most`; the file has to have it unless there is a default.
int read_int(const ModelConfig& config, Spellings spellings, int least, int most,
             int default_value = 0) {
  const auto field = agreed(find_all({config.text}, spellings), &JsonValue::to_int);
  if (!field && default_value != 0) return default_value;
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

int read_kv_heads(const ModelConfig& config, int q_heads) {
  const auto count = agreed(find_all({config.text}, kKvHeads), &JsonValue::to_int);
  const auto grouped = config.text.find("new_decoder_architecture");
  const auto single = config.text.find("multi_query");
  const bool multi_query =
      (single ? single->to_bool() : config.family.multi_query) && !(grouped && grouped->to_bool());
  if (!multi_query) {
    if (count && (count->value < 1 || count->value > 512)) {
      count->source.fail("must be from 1 to 512");
    }
    if (count) return count->value;
    return config.family.kv_heads != 0 ? config.family.kv_heads : q_heads;
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

int read_head_dim(const ModelConfig& config, int q_heads) {
  const auto check = [&](int head_dim, const std::string& source) {
    if (head_dim >= 2 && head_dim <= 1024 && head_dim % 2 == 0) return head_dim;
    refuse(config, source + ": must be even, from 2 to 1024");
  };
  const auto field = agreed(find_all({config.text}, kHeadDim), &JsonValue::to_int);
  if (field) return check(field->value, field->source.describe());
  if (config.family.head_dim != 0) return config.family.head_dim;
  const int hidden_size = read_int(config, kHiddenSize, 1, 1 << 24);
  if (hidden_size % q_heads != 0) {
    refuse(config, fmt::format("hidden_size = {}: must be divisible by num_attention_heads ({}) "
                               "where head_dim is absent",
                               hidden_size, q_heads));
  }
  const int head_dim = hidden_size / q_heads;
  return check(head_dim, fmt::format("head_dim = {} (hidden_size {} / num_attention_heads {})",
                                     head_dim, hidden_size, q_heads));
}

/// A file without a dtype (GPT-J's) gets RopeSpec's default.
Dtype read_dtype(const ModelConfig& config) {
  std::vector<JsonValue> found = find_all({config.text}, kDtype);
  if (found.empty()) found = find_all({config.root}, kDtype);
  const auto dtype = agreed(found, [](const JsonValue& value) {
    return parse_dtype(value.to_text(), fmt::format("{}: {}", value.origin(), value.path()));
  });
  return dtype ? dtype->value : RopeSpec{}.dtype;
}

/// The layout as the file says it, else as the family has it, and which of the two.
void read_layout(const ModelConfig& config, ModelRope& model) {
  if (const auto said = agreed(find_all({config.text}, kInterleaved), &JsonValue::to_bool)) {
    model.spec.layout = said->value ? Layout::interleaved : Layout::sequential;
    model.layout_reason = said->source.describe();
    return;
  }
  model.spec.layout = config.family.layout;
  if (config.family_known) {
    model.layout_reason = "model_type " + config.model_type;
  } else if (config.model_type.empty()) {
    model.layout_reason = "assumed: model_type is missing";
  } else {
    model.layout_reason = fmt::format("assumed: model_type {} is not known", config.model_type);
  }
}

/// `llama (llama-3-8b)`: the folder of a config.json, the name of any other file.
std::string model_name(const ModelConfig& config) {
  const std::filesystem::path path(config.root.origin());
  const std::filesystem::path folder = path.parent_path().filename();
  const bool in_folder = path.filename() == "config.json" && !folder.empty();
  const std::string place = (in_folder ? folder : path.filename()).string();
  return config.model_type.empty() ? place : fmt::format("{} ({})", config.model_type, place);
}

}  // namespace

ModelRope parse_model(std::string_view json, const std::string& origin) {
  const ModelConfig config = open_config(json, origin);
  require_head_prefix(config);
  ModelRope model;
  model.model = model_name(config);
  model.spec.q_heads = read_int(config, kHeads, 1, 512, config.family.q_heads);
  model.spec.kv_heads = read_kv_heads(config, model.spec.q_heads);
  model.spec.head_dim = read_head_dim(config, model.spec.q_heads);
  model.spec.dtype = read_dtype(config);
  read_layout(config, model);
  model.max_position_embeddings = read_max_position_embeddings(config);
  model.rotary = read_rotary_sets(config, model.spec.head_dim);
  model.spec.rotary_dim = static_cast<int>(2 * model.rotary.front().frequencies.turns.size());
  return model;
}

ModelRope load_model(const std::string& path) { return parse_model(read_text(path), path); }

}  // namespace ropejit
