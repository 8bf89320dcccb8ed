#include "ropejit/model.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "tests/model_fixture.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

std::string refused(const std::string& json) {
  return refusal([&] { parse(json); });
}

// A Llama with more fields; the last comma is the caller's.
std::string llama(const std::string& fields) {
  return R"({"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32)" +
         (fields.empty() ? "" : ", " + fields) + "}";
}

RotaryParameters plain(int rotary_dim, int head_dim, double theta) {
  RotaryParameters parameters;
  parameters.rotary_dim = rotary_dim;
  parameters.head_dim = head_dim;
  parameters.theta = theta;
  return parameters;
}

struct PlainModel {
  std::string folder;
  std::string model_type;
  int q_heads, kv_heads, head_dim, rotary_dim;
  Layout layout;
  double theta;
  Dtype dtype;
  int context;
};

// The shapes as the models' authors publish them.
const PlainModel kPlain[] = {
    {"llama-2-7b", "llama", 32, 32, 128, 128, Layout::sequential, 1e4, Dtype::float16, 4096},
    {"llama-3-8b", "llama", 32, 8, 128, 128, Layout::sequential, 5e5, Dtype::bfloat16, 8192},
    {"mistral-7b-v0.3", "mistral", 32, 8, 128, 128, Layout::sequential, 1e6, Dtype::bfloat16,
     32768},
    {"qwen2.5-7b", "qwen2", 28, 4, 128, 128, Layout::sequential, 1e6, Dtype::bfloat16, 131072},
    {"qwen3-8b", "qwen3", 32, 8, 128, 128, Layout::sequential, 1e6, Dtype::bfloat16, 40960},
    {"gemma-2-9b", "gemma2", 16, 8, 256, 256, Layout::sequential, 1e4, Dtype::float32, 8192},
    {"phi-2", "phi", 32, 32, 80, 32, Layout::sequential, 1e4, Dtype::float16, 2048},
    {"gpt-neox-20b", "gpt_neox", 64, 64, 96, 24, Layout::sequential, 1e4, Dtype::float16, 2048},
    {"pythia-70m", "gpt_neox", 8, 8, 64, 16, Layout::sequential, 1e4, Dtype::float16, 2048},
    {"stablelm-2-1.6b", "stablelm", 32, 32, 64, 16, Layout::sequential, 1e4, Dtype::float16, 4096},
    {"falcon-7b", "falcon", 71, 1, 64, 64, Layout::sequential, 1e4, Dtype::bfloat16, 2048},
    {"gpt-j-6b", "gptj", 16, 16, 256, 64, Layout::interleaved, 1e4, Dtype::bfloat16, 2048},
    {"glm-4-9b-0414", "glm4", 32, 2, 128, 64, Layout::interleaved, 1e4, Dtype::bfloat16, 32768},
};

TEST_CASE("every plain model has its published shape, layout and base") {
  for (const PlainModel& expected : kPlain) {
    CAPTURE(expected.folder);
    const ModelRope model = load_model(path_of(expected.folder));
    CHECK(model.model == expected.model_type + " (" + expected.folder + ")");
    const RopeSpec spec{.head_dim = expected.head_dim,
                        .rotary_dim = expected.rotary_dim,
                        .dtype = expected.dtype,
                        .layout = expected.layout,
                        .q_heads = expected.q_heads,
                        .kv_heads = expected.kv_heads};
    CHECK(describe(model.spec) == describe(spec));
    CHECK(model.spec == spec);
    CHECK(model.max_position_embeddings == expected.context);
    REQUIRE(model.rotary.size() == 1);
    CHECK(model.rotary[0].name.empty());
    CHECK(model.rotary[0].parameters ==
          plain(expected.rotary_dim, expected.head_dim, expected.theta));
    CHECK(model.rotary[0].frequencies == default_frequencies(expected.rotary_dim, expected.theta));
    CHECK(model.layout_reason == "model_type " + expected.model_type);
    CHECK_NOTHROW(validate(model.spec));
  }
}

TEST_CASE("the plain rotation is accepted however it is spelled") {
  for (const std::string scaling :
       {R"("rope_scaling": null)", R"("rope_scaling": {"type": "default"})",
        R"("rope_scaling": {"rope_type": "default", "type": "default"})",
        R"("rope_parameters": {"rope_type": "default", "rope_theta": 10000.0})",
        R"("rope_parameters": {"rope_theta": 10000.0})", R"("rope_scaling": {})"}) {
    CAPTURE(scaling);
    CHECK(parse(llama(scaling)).spec.rotary_dim == 128);
  }
}

TEST_CASE("what is not the rotation of a head's first dimensions is refused by every name") {
  const std::string mla = refusal([] { load_model(path_of("deepseek-v3")); });
  CHECK(mla == "unsupported: " + path_of("deepseek-v3") +
                   ": qk_rope_head_dim = 64: multi-head latent attention (MLA) is not supported "
                   "yet");
  for (const auto& [folder, prefix] :
       {std::pair{"qwen2-vl-7b", ""}, {"qwen3-vl-4b", "text_config."}}) {
    CHECK(refusal([&, name = folder] { load_model(path_of(name)); }) ==
          "unsupported: " + path_of(folder) + ": " + prefix +
              "rope_scaling.mrope_section: multimodal rotation (mrope) is not supported yet");
  }
  CHECK(refused(llama(R"("qk_rope_head_dim": 64, "rope_scaling": {"mrope_section": [1, 2]})")) ==
        "unsupported: config.json: qk_rope_head_dim = 64: multi-head latent attention (MLA) is not "
        "supported yet; rope_scaling.mrope_section: multimodal rotation (mrope) is not supported "
        "yet");
  CHECK(refused(llama(R"("rope_ratio": 500)")) ==
        "unsupported: config.json: rope_ratio = 500: is not supported: it scales the base in some "
        "releases of ChatGLM and positions in others");
  CHECK(refused(llama(R"("rope_ratio": 1)")) == "accepted");
  CHECK(refused(llama(R"("global_head_dim": 512)")) ==
        "unsupported: config.json: global_head_dim = 512: head dimensions per layer type are not "
        "supported yet");
  CHECK(refused(R"({"model_type": "falcon", "alibi": true})") ==
        "unsupported: config.json: alibi = true: the model has no rotary embedding");
}

TEST_CASE("the layout is the family's unless the file says it") {
  const ModelRope said = parse(llama(R"("rope_interleave": true)"));
  CHECK(said.spec.layout == Layout::interleaved);
  CHECK(said.layout_reason == "rope_interleave = true");
  CHECK(parse(llama(R"("rotary_emb_interleaved": false)")).spec.layout == Layout::sequential);
  CHECK(parse(llama("")).layout_reason == "model_type llama");
}

TEST_CASE("transformers 5 keeps theta and the partial factor in rope_parameters") {
  const ModelRope model = parse(R"({"model_type": "glm4", "hidden_size": 4096, "head_dim": 128,
      "num_attention_heads": 32, "num_key_value_heads": 2, "dtype": "float16", "rope_parameters":
      {"rope_type": "default", "rope_theta": 250000, "partial_rotary_factor": 0.25}})");
  CHECK(model.spec.rotary_dim == 32);
  CHECK(model.rotary[0].parameters.theta == 250000.0);
  CHECK(model.spec.dtype == Dtype::float16);
}

TEST_CASE("a multimodal model's text part is read, and its dtype from either") {
  const std::string text = R"("text_config": {"model_type": "qwen2", "hidden_size": 1024,
      "num_attention_heads": 8, "num_key_value_heads": 2, "rope_theta": 7e5})";
  const ModelRope model = parse(R"({"model_type": "some_vl", "hidden_size": 9, "torch_dtype":
      "float16", )" + text + "}");
  CHECK(describe(model.spec) == "d128 r128 float16 sequential q8 kv2 offset exact forward a16");
  CHECK(model.rotary[0].parameters.theta == 7e5);
  CHECK(model.layout_reason == "model_type qwen2");
  CHECK(parse(R"({"model_type": "gptj", "text_config": {"n_embd": 4096, "n_head": 16}})")
            .layout_reason == "model_type gptj");
  CHECK(refused(R"({"text_config": {"num_attention_heads": 8}})") ==
        "invalid_argument: config.json: text_config.hidden_size: missing (also read: n_embd, "
        "d_model)");
}

TEST_CASE("old spellings are read") {
  const ModelRope model = parse(R"({"model_type": "mystery", "d_model": 2048, "num_heads": 16,
      "n_head_kv": 4, "rotary_pct": 0.5, "rotary_emb_base": 20000})");
  CHECK(describe(model.spec) == "d128 r64 bfloat16 sequential q16 kv4 offset exact forward a16");
  CHECK(model.rotary[0].parameters.theta == 20000.0);
}

TEST_CASE("a family's defaults stand in for what its files omit") {
  const std::string shape = R"("hidden_size": 2048, "num_attention_heads": 16})";
  const auto rotary_dim = [&](const std::string& type) {
    return parse("{\"model_type\": \"" + type + "\", " + shape).spec.rotary_dim;
  };
  CHECK(rotary_dim("llama") == 128);
  CHECK(rotary_dim("gptj") == 64);
  CHECK(rotary_dim("gpt_neox") == 32);
  CHECK(rotary_dim("glm4") == 64);
  CHECK(rotary_dim("gemma2") == 256);
  CHECK(rotary_dim("phi") == 64);
}

TEST_CASE("an unknown family is assumed to be sequential, and the reason says so") {
  const std::string shape = R"("hidden_size": 4096, "num_attention_heads": 32})";
  const ModelRope unknown = parse(R"({"model_type": "mystery", )" + shape);
  CHECK(unknown.spec.layout == Layout::sequential);
  CHECK(unknown.layout_reason == "assumed: model_type mystery is not known");
  CHECK(parse("{" + shape).layout_reason == "assumed: model_type is missing");
  for (const std::string type :
       {"gptj", "codegen", "cohere", "cohere2", "cohere2_moe", "glm", "glm4", "ernie4_5",
        "ernie4_5_moe", "helium", "deepseek_v2", "deepseek_v3"}) {
    CHECK(parse("{\"model_type\": \"" + type + "\", " + shape).spec.layout == Layout::interleaved);
  }
}

TEST_CASE("Falcon's multi_query means one key/value head, its newer architecture says how many") {
  const auto kv_heads = [](const std::string& fields) {
    return parse(R"({"model_type": "falcon", "hidden_size": 8192, "num_attention_heads": 128, )" +
                 fields + "}")
        .spec.kv_heads;
  };
  CHECK(kv_heads(R"("multi_query": true)") == 1);
  CHECK(kv_heads(R"("alibi": false)") == 1);
  CHECK(kv_heads(R"("multi_query": true, "num_kv_heads": 128)") == 1);
  CHECK(kv_heads(R"("multi_query": true, "new_decoder_architecture": true, "num_kv_heads": 8)") ==
        8);
  CHECK(kv_heads(R"("multi_query": false)") == 128);
}

TEST_CASE("two spellings that contradict each other are refused by both names") {
  const std::string start = "invalid_argument: config.json: ";
  CHECK(refused(llama(R"("rope_theta": 5e5, "rotary_emb_base": 10000)")) ==
        start + "rotary_emb_base = 10000: contradicts rope_theta = 500000.0");
  CHECK(refused(llama(R"("rope_theta": 5e5, "rope_parameters": {"rope_theta": 1e6})")) ==
        start + "rope_theta = 500000.0: contradicts rope_parameters.rope_theta = 1000000.0");
  CHECK(refused(llama(R"("n_head": 16)")) ==
        start + "n_head = 16: contradicts num_attention_heads = 32");
  CHECK(refused(llama(R"("torch_dtype": "float16", "dtype": "bfloat16")")) ==
        start + "torch_dtype = \"float16\": contradicts dtype = \"bfloat16\"");
  CHECK(refused(llama(R"("rope_scaling": {"type": "linear", "rope_type": "yarn"})")) ==
        start + "rope_scaling.type = \"linear\": contradicts rope_scaling.rope_type = \"yarn\"");
  CHECK(refused(llama(R"("rotary_dim": 64, "partial_rotary_factor": 0.25)")) ==
        start + "rotary_dim = 64: contradicts partial_rotary_factor = 0.25 with head_dim 128");
  CHECK(refused(llama(R"("multi_query": true, "num_key_value_heads": 8)")) ==
        start + "num_key_value_heads = 8: contradicts multi_query = true");
  CHECK(parse(llama(R"("n_head": 32, "torch_dtype": "torch.float16", "dtype": "fp16",
                       "rotary_dim": 32, "rotary_pct": 0.25)"))
            .spec.rotary_dim == 32);
}

TEST_CASE("a bad or missing field is refused by name, value and rule") {
  const std::string start = "invalid_argument: config.json: ";
  CHECK(refused("{}") == start + "num_attention_heads: missing (also read: n_head, num_heads)");
  CHECK(refused(R"({"num_attention_heads": 0})") ==
        start + "num_attention_heads = 0: must be from 1 to 512");
  CHECK(refused(R"({"num_attention_heads": "32"})") ==
        start +
            "num_attention_heads = \"32\": must be an integer that 32 bits can hold, without "
            "fraction or exponent");
  CHECK(refused(R"({"num_attention_heads": 31, "hidden_size": 4096})") ==
        start +
            "hidden_size = 4096: must be divisible by num_attention_heads (31) where head_dim "
            "is absent");
  CHECK(refused(llama(R"("num_key_value_heads": 0)")) ==
        start + "num_key_value_heads = 0: must be from 1 to 512");
  CHECK(refused(llama(R"("head_dim": 127)")) ==
        start + "head_dim = 127: must be even, from 2 to 1024");
  CHECK(refused(R"({"num_attention_heads": 2, "hidden_size": 4096})") ==
        start +
            "head_dim = 2048 (hidden_size 4096 / num_attention_heads 2): must be even, from 2 "
            "to 1024");
  for (const std::string factor : {"0.0", "-0.5", "1.5"}) {
    CHECK(refused(llama("\"partial_rotary_factor\": " + factor)) ==
          start + "partial_rotary_factor = " + factor + ": must be above 0 and at most 1");
  }
  CHECK(refused(llama(R"("rotary_pct": 0.9)")) ==
        start + "rotary_pct = 0.9: rotary_dim = 115: must be even, from 2 to head_dim (128)");
  CHECK(refused(llama(R"("rotary_dim": 256)")) ==
        start + "rotary_dim = 256: must be even, from 2 to head_dim (128)");
  CHECK(refused(R"({"model_type": "gptj", "n_embd": 512, "n_head": 16})") ==
        start +
            "rotary_dim = 64 (the default of model_type gptj): must be even, from 2 to "
            "head_dim (32)");
  CHECK(refused(llama(R"("rope_theta": 0)")) ==
        start + "rope_theta = 0: must be a finite number of at least 1");
  CHECK(refused(llama(R"("torch_dtype": "float8_e4m3fn")"))
            .starts_with(start +
                         "torch_dtype = float8_e4m3fn: must be float32, float16 or bfloat16"));
  CHECK(refused(llama(R"("rope_scaling": "linear")")) ==
        start + "rope_scaling = \"linear\": must be an object");
  CHECK(refused(llama(R"("rope_scaling": {"factor": 2.0})")) ==
        start + "rope_scaling.factor = 2.0: needs rope_scaling.rope_type, which is missing");
  CHECK(refused("[]") == start + "[]: must be an object");
}

TEST_CASE("a truncated file is refused with line and column") {
  CHECK(refused("{\n  \"model_type\": \"llama\",\n  \"hidden_si")
            .starts_with("invalid_argument: config.json: malformed JSON at line 3, column 13: "));
}

TEST_CASE("a file that is not there is an io error") {
  CHECK(refusal([] { load_model("/nonexistent/config.json"); }) ==
        "io: /nonexistent/config.json: cannot be read: No such file or directory");
}

}  // namespace
}  // namespace ropejit
