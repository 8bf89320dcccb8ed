#include "ropejit/model.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/refusal.h"

namespace ropejit {
namespace {

std::string path_of(const std::string& folder) {
  return ROPEJIT_TEST_DATA "/models/" + folder + "/config.json";
}

ModelRope parse(const std::string& json) { return parse_model(json, "config.json"); }

std::string refused(const std::string& json) {
  return refusal([&] { parse(json); });
}

// A Llama with more fields; the last comma is the caller's.
std::string llama(const std::string& fields) {
  return R"({"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32)" +
         (fields.empty() ? "" : ", " + fields) + "}";
}

struct PlainModel {
  std::string folder;
  std::string model_type;
  int q_heads, kv_heads, head_dim, rotary_dim;
  Layout layout;
  double theta;
  Dtype dtype;
};

// The shapes as the models' authors publish them.
const PlainModel kPlain[] = {
    {"llama-2-7b", "llama", 32, 32, 128, 128, Layout::sequential, 1e4, Dtype::float16},
    {"llama-3-8b", "llama", 32, 8, 128, 128, Layout::sequential, 5e5, Dtype::bfloat16},
    {"mistral-7b-v0.3", "mistral", 32, 8, 128, 128, Layout::sequential, 1e6, Dtype::bfloat16},
    {"qwen2.5-7b", "qwen2", 28, 4, 128, 128, Layout::sequential, 1e6, Dtype::bfloat16},
    {"qwen3-8b", "qwen3", 32, 8, 128, 128, Layout::sequential, 1e6, Dtype::bfloat16},
    {"gemma-2-9b", "gemma2", 16, 8, 256, 256, Layout::sequential, 1e4, Dtype::float32},
    {"phi-2", "phi", 32, 32, 80, 32, Layout::sequential, 1e4, Dtype::float16},
    {"gpt-neox-20b", "gpt_neox", 64, 64, 96, 24, Layout::sequential, 1e4, Dtype::float16},
    {"pythia-70m", "gpt_neox", 8, 8, 64, 16, Layout::sequential, 1e4, Dtype::float16},
    {"stablelm-2-1.6b", "stablelm", 32, 32, 64, 16, Layout::sequential, 1e4, Dtype::float16},
    {"falcon-7b", "falcon", 71, 1, 64, 64, Layout::sequential, 1e4, Dtype::bfloat16},
    {"gpt-j-6b", "gptj", 16, 16, 256, 64, Layout::interleaved, 1e4, Dtype::bfloat16},
    {"glm-4-9b-0414", "glm4", 32, 2, 128, 64, Layout::interleaved, 1e4, Dtype::bfloat16},
};

struct ScaledModel {
  std::string folder;
  std::string complaint;
};
const ScaledModel kScaled[] = {
    {"llama-3.1-8b", "rope_scaling.rope_type = llama3: "},
    {"llama-3.1-70b", "rope_scaling.rope_type = llama3: "},
    {"llama-3.2-1b", "rope_scaling.rope_type = llama3: "},
    {"phi-3-mini-128k", "rope_scaling.type = longrope: "},
    {"gemma-3-4b", "text_config.rope_scaling.rope_type = linear: "},
    {"deepseek-v3", "rope_scaling.type = yarn: "},
    {"qwen2-vl-7b", "rope_scaling.mrope_section: multimodal rotation (mrope) is not supported"},
    {"qwen3-vl-4b", "text_config.rope_scaling.mrope_section: multimodal rotation (mrope)"},
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
    CHECK(model.theta == expected.theta);
    CHECK(model.frequencies == default_frequencies(expected.rotary_dim, expected.theta));
    CHECK(model.layout_reason == "model_type " + expected.model_type);
    CHECK_NOTHROW(validate(model.spec));
  }
}

TEST_CASE("every scaled model is refused with the name of its scaling") {
  for (const ScaledModel& expected : kScaled) {
    CAPTURE(expected.folder);
    const std::string message = refusal([&] { load_model(path_of(expected.folder)); });
    CHECK(message.starts_with("unsupported: " + path_of(expected.folder) + ": "));
    CHECK_MESSAGE(message.find(expected.complaint) != std::string::npos, message);
  }
}

TEST_CASE("every model that ships with the tests is listed in them") {
  std::size_t folders = 0;
  for (const auto& item : std::filesystem::directory_iterator(ROPEJIT_TEST_DATA "/models")) {
    const std::string folder = item.path().filename().string();
    CAPTURE(folder);
    const auto plain = [&](const PlainModel& model) { return model.folder == folder; };
    const auto scaled = [&](const ScaledModel& model) { return model.folder == folder; };
    CHECK((std::any_of(std::begin(kPlain), std::end(kPlain), plain) ||
           std::any_of(std::begin(kScaled), std::end(kScaled), scaled)));
    ++folders;
  }
  CHECK(folders == std::size(kPlain) + std::size(kScaled));
}

TEST_CASE("a scaling that is not supported is refused wherever and however it is spelled") {
  const std::string rule = ": this rotary scaling is not supported yet; supported: default";
  for (const std::string type :
       {"linear", "dynamic", "yarn", "longrope", "su", "llama3", "mrope"}) {
    for (const std::string key : {"type", "rope_type"}) {
      for (const std::string object : {"rope_scaling", "rope_parameters"}) {
        const std::string field =
            "\"" + object + "\": {\"" + key + "\": \"" + type + "\", \"factor\": 2.0}";
        CHECK(refused(llama(field)) ==
              "unsupported: config.json: " + object + "." + key + " = " + type + rule);
      }
    }
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

TEST_CASE("everything in the way of the plain rotation is named") {
  const std::string message = refusal([] { load_model(path_of("deepseek-v3")); });
  CHECK(message.find("qk_rope_head_dim = 64: multi-head latent attention (MLA)") !=
        std::string::npos);
  CHECK(refused(llama(R"("rope_local_base_freq": 10000.0)")) ==
        "unsupported: config.json: rope_local_base_freq = 10000.0: a rotary base per layer type is "
        "not supported yet");
  CHECK(refused(llama(R"("rope_parameters": {"full_attention": {"rope_type": "default"}})")) ==
        "unsupported: config.json: rope_parameters.full_attention: rotary parameters per layer "
        "type are not supported yet");
  CHECK(refused(R"({"model_type": "gemma3_text", "rope_scaling": null})") ==
        "unsupported: config.json: model_type = gemma3_text: rotary parameters per layer type are "
        "not supported yet");
  CHECK(refused(R"({"model_type": "falcon", "alibi": true})") ==
        "unsupported: config.json: alibi = true: the model has no rotary embedding");
}

TEST_CASE("transformers 5 keeps theta and the partial factor in rope_parameters") {
  const ModelRope model = parse(R"({"model_type": "glm4", "hidden_size": 4096, "head_dim": 128,
      "num_attention_heads": 32, "num_key_value_heads": 2, "dtype": "float16", "rope_parameters":
      {"rope_type": "default", "rope_theta": 250000, "partial_rotary_factor": 0.25}})");
  CHECK(model.spec.rotary_dim == 32);
  CHECK(model.theta == 250000.0);
  CHECK(model.spec.dtype == Dtype::float16);
}

TEST_CASE("a multimodal model's text part is read, and its dtype from either") {
  const std::string text = R"("text_config": {"model_type": "qwen2", "hidden_size": 1024,
      "num_attention_heads": 8, "num_key_value_heads": 2, "rope_theta": 7e5})";
  const ModelRope model = parse(R"({"model_type": "some_vl", "hidden_size": 9, "torch_dtype":
      "float16", )" + text + "}");
  CHECK(describe(model.spec) == "d128 r128 float16 sequential q8 kv2 offset exact forward a16");
  CHECK(model.theta == 7e5);
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
  CHECK(model.theta == 20000.0);
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
  for (const std::string type : {"gptj", "codegen", "cohere", "cohere2", "glm", "glm4", "ernie4_5",
                                 "deepseek_v2", "deepseek_v3"}) {
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
