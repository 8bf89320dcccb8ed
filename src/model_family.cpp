#include "src/model_family.h"

#include <algorithm>
#include <array>

namespace ropejit {
namespace {

constexpr auto kInterleaved = Layout::interleaved;

// Layouts as the families' `apply_rotary_pos_emb` in transformers has them, defaults as their
// configuration classes do. A family is here only if both are known for certain.
constexpr auto kFamilies = std::to_array<ModelFamily>({
    {.model_type = "codegen",
     .layout = kInterleaved,
     .rotary_dim = 64,
     .max_position_embeddings = 2048},
    {.model_type = "cohere", .layout = kInterleaved, .max_position_embeddings = 8192},
    {.model_type = "cohere2", .layout = kInterleaved, .max_position_embeddings = 8192},
    {.model_type = "cohere2_moe",
     .layout = kInterleaved,
     .head_dim = 128,
     .max_position_embeddings = 8192},
    {.model_type = "deepseek_v2", .layout = kInterleaved, .max_position_embeddings = 2048},
    {.model_type = "deepseek_v3", .layout = kInterleaved, .max_position_embeddings = 4096},
    {.model_type = "ernie4_5",
     .layout = kInterleaved,
     .head_dim = 128,
     .theta = 500000.0,
     .max_position_embeddings = 131072},
    {.model_type = "ernie4_5_moe",
     .layout = kInterleaved,
     .theta = 500000.0,
     .max_position_embeddings = 131072},
    {.model_type = "glm",
     .layout = kInterleaved,
     .head_dim = 128,
     .partial_factor = 0.5,
     .max_position_embeddings = 131072},
    {.model_type = "glm4",
     .layout = kInterleaved,
     .head_dim = 128,
     .partial_factor = 0.5,
     .max_position_embeddings = 131072},
    {.model_type = "gptj",
     .layout = kInterleaved,
     .rotary_dim = 64,
     .max_position_embeddings = 2048},
    {.model_type = "helium",
     .layout = kInterleaved,
     .head_dim = 128,
     .theta = 100000.0,
     .max_position_embeddings = 4096},

    {.model_type = "falcon", .multi_query = true, .max_position_embeddings = 2048},
    {.model_type = "RefinedWebModel",
     .multi_query = true,
     .max_position_embeddings = 2048},  // Falcon-7B before transformers 4.33
    {.model_type = "gemma", .head_dim = 256, .max_position_embeddings = 8192},
    {.model_type = "gemma2", .head_dim = 256, .max_position_embeddings = 8192},
    {.model_type = "gemma3_text",
     .head_dim = 256,
     .theta = 1e6,
     .local_theta = 1e4,
     .q_heads = 8,
     .kv_heads = 4,
     .max_position_embeddings = 131072},
    {.model_type = "gemma3n_text",
     .head_dim = 256,
     .theta = 1e6,
     .local_theta = 1e4,
     .q_heads = 8,
     .kv_heads = 2,
     .max_position_embeddings = 32768},
    {.model_type = "gpt_neox", .partial_factor = 0.25, .max_position_embeddings = 2048},
    {.model_type = "gpt_oss", .head_dim = 64, .theta = 150000.0, .max_position_embeddings = 131072},
    {.model_type = "granite", .max_position_embeddings = 2048},
    {.model_type = "llama", .max_position_embeddings = 2048},
    {.model_type = "mistral", .max_position_embeddings = 131072},
    {.model_type = "mixtral", .theta = 1e6, .max_position_embeddings = 131072},
    {.model_type = "modernbert",
     .theta = 160000.0,
     .local_theta = 1e4,
     .max_position_embeddings = 8192},
    {.model_type = "nemotron", .partial_factor = 0.5, .max_position_embeddings = 4096},
    {.model_type = "olmo", .max_position_embeddings = 2048},
    {.model_type = "olmo2", .max_position_embeddings = 2048},
    {.model_type = "persimmon",
     .partial_factor = 0.5,
     .theta = 25000.0,
     .max_position_embeddings = 16384},
    {.model_type = "phi", .partial_factor = 0.5, .max_position_embeddings = 2048},
    {.model_type = "phi3", .max_position_embeddings = 4096},
    {.model_type = "qwen2", .max_position_embeddings = 32768},
    {.model_type = "qwen2_moe", .max_position_embeddings = 32768},
    {.model_type = "qwen2_vl", .max_position_embeddings = 32768},
    {.model_type = "qwen2_vl_text", .max_position_embeddings = 32768},
    {.model_type = "qwen2_5_vl", .max_position_embeddings = 32768},
    {.model_type = "qwen2_5_vl_text", .max_position_embeddings = 32768},
    {.model_type = "qwen3", .head_dim = 128, .max_position_embeddings = 32768},
    {.model_type = "qwen3_moe", .max_position_embeddings = 32768},
    {.model_type = "qwen3_vl_text", .head_dim = 128, .max_position_embeddings = 128000},
    {.model_type = "stablelm", .partial_factor = 0.25, .max_position_embeddings = 4096},
    {.model_type = "starcoder2", .max_position_embeddings = 4096},
});

}  // namespace

const ModelFamily* find_family(std::string_view model_type) noexcept {
  const auto found =
      std::find_if(kFamilies.begin(), kFamilies.end(),
                   [&](const ModelFamily& family) { return family.model_type == model_type; });
  return found == kFamilies.end() ? nullptr : &*found;
}

}  // namespace ropejit
