#include "src/model_family.h"

#include <algorithm>
#include <array>

namespace ropejit {
namespace {

constexpr auto kInterleaved = Layout::interleaved;

// Layouts as the families' `apply_rotary_pos_emb` in transformers has them, defaults as their
// configuration classes do. A family is here only if both are known for certain.
constexpr auto kFamilies = std::to_array<ModelFamily>({
    {.model_type = "codegen", .layout = kInterleaved, .rotary_dim = 64},
    {.model_type = "cohere", .layout = kInterleaved},
    {.model_type = "cohere2", .layout = kInterleaved},
    {.model_type = "deepseek_v2", .layout = kInterleaved},
    {.model_type = "deepseek_v3", .layout = kInterleaved},
    {.model_type = "ernie4_5", .layout = kInterleaved, .head_dim = 128, .theta = 500000.0},
    {.model_type = "glm", .layout = kInterleaved, .head_dim = 128, .partial_factor = 0.5},
    {.model_type = "glm4", .layout = kInterleaved, .head_dim = 128, .partial_factor = 0.5},
    {.model_type = "gptj", .layout = kInterleaved, .rotary_dim = 64},

    {.model_type = "falcon", .multi_query = true},
    {.model_type = "RefinedWebModel", .multi_query = true},  // Falcon-7B before transformers 4.33
    {.model_type = "gemma", .head_dim = 256},
    {.model_type = "gemma2", .head_dim = 256},
    {.model_type = "gemma3_text", .head_dim = 256, .theta = 1e6, .rope_per_layer_type = true},
    {.model_type = "gpt_neox", .partial_factor = 0.25},
    {.model_type = "granite"},
    {.model_type = "llama"},
    {.model_type = "mistral"},
    {.model_type = "mixtral", .theta = 1e6},
    {.model_type = "nemotron", .partial_factor = 0.5},
    {.model_type = "olmo"},
    {.model_type = "olmo2"},
    {.model_type = "persimmon", .partial_factor = 0.5, .theta = 25000.0},
    {.model_type = "phi", .partial_factor = 0.5},
    {.model_type = "phi3"},
    {.model_type = "qwen2"},
    {.model_type = "qwen2_moe"},
    {.model_type = "qwen2_vl"},
    {.model_type = "qwen2_vl_text"},
    {.model_type = "qwen2_5_vl"},
    {.model_type = "qwen2_5_vl_text"},
    {.model_type = "qwen3", .head_dim = 128},
    {.model_type = "qwen3_moe"},
    {.model_type = "qwen3_vl_text", .head_dim = 128},
    {.model_type = "stablelm", .partial_factor = 0.25},
    {.model_type = "starcoder2"},
});

}  // namespace

const ModelFamily* find_family(std::string_view model_type) noexcept {
  const auto found =
      std::find_if(kFamilies.begin(), kFamilies.end(),
                   [&](const ModelFamily& family) { return family.model_type == model_type; });
  return found == kFamilies.end() ? nullptr : &*found;
}

}  // namespace ropejit
