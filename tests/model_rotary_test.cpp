// The rotary parameters that a config.json has beyond the plain ones.

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "ropejit/model.h"
#include "src/text.h"
#include "tests/model_fixture.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

/// What a config is refused with, without the file's name.
std::string refused(const std::string& json) {
  const std::string message = refusal([&] { parse(json); });
  const std::string start = "invalid_argument: config.json: ";
  return message.starts_with(start) ? message.substr(start.size()) : message;
}

// A Llama with more fields.
std::string llama(const std::string& fields) {
  return R"({"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, )" + fields +
         "}";
}

// One with a head of 8 dimensions, for short lists.
std::string small(const std::string& fields) {
  return R"({"model_type": "llama", "head_dim": 8, "num_attention_heads": 2, )" + fields + "}";
}

std::string scaling(const std::string& fields) { return "\"rope_scaling\": {" + fields + "}"; }

/// Of a model with one set.
RotaryParameters parameters_of(const ModelRope& model) {
  REQUIRE(model.rotary.size() == 1);
  CHECK(model.rotary[0].frequencies == make_frequencies(model.rotary[0].parameters));
  return model.rotary[0].parameters;
}

RotaryParameters with(Scaling scaling, double factor, std::int64_t original, double theta = 1e4) {
  RotaryParameters p;
  p.rotary_dim = 128;
  p.head_dim = 128;
  p.theta = theta;
  p.scaling = scaling;
  p.factor = factor;
  p.original_max_position_embeddings = original;
  return p;
}

const std::string kLists =
    R"("short_factor": [1.0, 1.5, 2.0, 2.5], "long_factor": [3.0, 4.0, 5.0, 6.0])";

}  // namespace

TEST_CASE("Llama 3's models have the scaling that their authors publish") {
  for (const auto& [folder, factor] :
       {std::pair{"llama-3.1-8b", 8.0}, {"llama-3.1-70b", 8.0}, {"llama-3.2-1b", 32.0}}) {
    CAPTURE(folder);
    const ModelRope model = load_model(path_of(folder));
    RotaryParameters expected = with(Scaling::llama3, factor, 8192, 5e5);
    expected.low_freq_factor = 1.0;
    expected.high_freq_factor = 4.0;
    expected.rotary_dim = expected.head_dim = model.spec.head_dim;
    CHECK(parameters_of(model) == expected);
    CHECK(model.max_position_embeddings == 131072);
    CHECK(model.rotary[0].frequencies.attention_factor == 1.0f);
  }
}

TEST_CASE("Phi-3 has two lists of 48, its first context outside of rope_scaling, no factor") {
  const ModelRope model = load_model(path_of("phi-3-mini-128k"));
  CHECK(describe(model.spec) == "d96 r96 bfloat16 sequential q32 kv32 offset exact forward a16");
  const RotaryParameters p = parameters_of(model);
  CHECK(p.scaling == Scaling::longrope);
  CHECK(p.factor == 32.0);
  CHECK(p.original_max_position_embeddings == 4096);
  REQUIRE(p.short_factor.size() == 48);
  REQUIRE(p.long_factor.size() == 48);
  CHECK(p.short_factor[0] == 1.1);
  CHECK(p.long_factor[47] == 64.76000213623047);
  CHECK(model.rotary[0].frequencies.attention_factor == doctest::Approx(1.19023807));
}

TEST_CASE("Gemma-3 has plain local layers and global ones that are stretched") {
  const ModelRope model = load_model(path_of("gemma-3-4b"));
  CHECK(describe(model.spec) == "d256 r256 bfloat16 sequential q8 kv4 offset exact forward a16");
  CHECK(model.max_position_embeddings == 131072);
  REQUIRE(model.rotary.size() == 2);
  RotaryParameters expected = with(Scaling::linear, 8.0, 0, 1e6);
  expected.rotary_dim = expected.head_dim = 256;
  CHECK(model.rotary[0].name == "full_attention");
  CHECK(model.rotary[0].parameters == expected);
  expected.scaling = Scaling::none;
  expected.factor = 1.0;
  expected.theta = 1e4;
  CHECK(model.rotary[1].name == "sliding_attention");
  CHECK(model.rotary[1].parameters == expected);
  for (const RotarySet& set : model.rotary) {
    CHECK(set.frequencies == make_frequencies(set.parameters));
  }
}

TEST_CASE("every model that ships with the tests loads but three, and docs/models.md has its row") {
  const std::string page = read_text(ROPEJIT_SOURCE_DIR "/docs/models.md");
  std::size_t folders = 0;
  for (const auto& item : std::filesystem::directory_iterator(ROPEJIT_TEST_DATA "/models")) {
    const std::string folder = item.path().filename().string();
    CAPTURE(folder);
    const bool waits =
        folder == "deepseek-v3" || folder == "qwen2-vl-7b" || folder == "qwen3-vl-4b";
    const std::string outcome = refusal([&] { validate(load_model(path_of(folder)).spec); });
    CHECK_MESSAGE(outcome.starts_with(waits ? "unsupported: " : "accepted"), outcome);
    CHECK((page.find("\n| " + folder + " |") == std::string::npos) == waits);
    ++folders;
  }
  CHECK(folders == 21);
}

TEST_CASE("Gemma-3's two bases are read from transformers 5's parameters per layer type as well") {
  const std::string start = R"({"model_type": "gemma3_text", "hidden_size": 2560, )";
  const std::vector<RotarySet> old = parse(start + R"("rope_theta": 2e6, "rope_local_base_freq":
      2e4, "rope_scaling": {"rope_type": "linear", "factor": 4.0}})")
                                         .rotary;
  const std::vector<RotarySet> now = parse(start + R"("rope_parameters": {
      "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
      "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 2e6}}})")
                                         .rotary;
  REQUIRE(old.size() == 2);
  REQUIRE(now.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(old[i].name == now[i].name);
    CHECK(old[i].parameters == now[i].parameters);
  }
  CHECK(old[0].parameters.theta == 2e6);
  CHECK(old[0].parameters.factor == 4.0);
  CHECK(old[1].parameters.theta == 2e4);
  CHECK(old[1].parameters.scaling == Scaling::none);
  // What is left out has the default of the family.
  const std::vector<RotarySet> half =
      parse(start + R"("rope_parameters": {"full_attention": {"rope_type": "default"}}})").rotary;
  REQUIRE(half.size() == 2);
  CHECK(half[0].parameters.theta == 1e6);
  CHECK(half[1].parameters.theta == 1e4);
}

TEST_CASE("a base of local layers makes two sets of any model") {
  const std::vector<RotarySet> sets = parse(R"({"model_type": "modernbert", "hidden_size": 768,
      "num_attention_heads": 12, "global_rope_theta": 80000.0, "local_rope_theta": 5000.0})")
                                          .rotary;
  REQUIRE(sets.size() == 2);
  CHECK(sets[0].parameters.theta == 80000.0);
  CHECK(sets[1].parameters.theta == 5000.0);
  CHECK(parse(llama(R"("rope_local_base_freq": 5000.0)")).rotary.size() == 2);
}

TEST_CASE("layers of any types may have their own parameters, and nothing may stand beside") {
  const std::vector<RotarySet> sets = parse(llama(R"("rope_parameters": {
      "chunked_attention": {"rope_theta": 3e4}, "full_attention": {"rope_theta": 3e5}})"))
                                          .rotary;
  REQUIRE(sets.size() == 2);
  CHECK(sets[0].name == "chunked_attention");
  CHECK(sets[0].parameters.theta == 3e4);
  CHECK(sets[1].parameters.theta == 3e5);
  CHECK(refused(llama(R"("rope_parameters": {"full_attention": {}, "factor": 2.0})")) ==
        "rope_parameters.factor = 2.0: stands beside parameters per layer type (full_attention)");
  CHECK(refused(llama(R"("rope_theta": 1e4, "rope_parameters": {
                          "full_attention": {"rope_theta": 3e5}})")) ==
        "rope_theta = 10000.0: contradicts rope_parameters.full_attention.rope_theta = 300000.0");
  CHECK(refused(llama(R"("rope_parameters": {"a": {"partial_rotary_factor": 0.5}, "b": {}})")) ==
        "unsupported: config.json: a rotates 64 dimensions and b 128: layers that differ in them "
        "are not supported yet");
  CHECK(refused(llama(R"("rope_parameters": {"a": {"rope_type": "linear", "alpha": 2}})")) ==
        "rope_parameters.a.alpha = 2: is no field of rope_type linear; its fields: factor");
}

TEST_CASE("linear and NTK-aware scaling need a factor, and may tell the context before") {
  for (const auto& [type, kind] : {std::pair{"linear", Scaling::linear}, {"ntk", Scaling::ntk}}) {
    CAPTURE(type);
    const std::string name = std::string("\"type\": \"") + type + "\"";
    CHECK(parameters_of(parse(llama(scaling(name + ", \"factor\": 4")))) == with(kind, 4.0, 0));
    CHECK(parameters_of(parse(llama(
              scaling(name + ", \"factor\": 4, \"original_max_position_embeddings\": 2048")))) ==
          with(kind, 4.0, 0));
    CHECK(refused(llama(scaling(name))) ==
          "rope_scaling.factor: missing; rope_scaling.type = " + std::string(type) + " needs it");
  }
}

TEST_CASE("dynamic NTK grows from max_position_embeddings") {
  const std::string fields = R"("type": "dynamic", "factor": 2.0)";
  CHECK(parameters_of(parse(llama("\"max_position_embeddings\": 4096, " + scaling(fields)))) ==
        with(Scaling::dynamic_ntk, 2.0, 4096));
  // The default of the family.
  CHECK(parameters_of(parse(llama(scaling(fields)))) == with(Scaling::dynamic_ntk, 2.0, 2048));
  CHECK(refused(llama("\"max_position_embeddings\": 4096, " +
                      scaling(fields + ", \"original_max_position_embeddings\": 2048"))) ==
        "rope_scaling.original_max_position_embeddings = 2048: contradicts max_position_embeddings "
        "= 4096, beyond which dynamic stretches");
  CHECK(refused(R"({"num_attention_heads": 2, "head_dim": 8, "rope_scaling":
                    {"type": "dynamic", "factor": 2.0}})") ==
        "rope_scaling.original_max_position_embeddings: missing; rope_scaling.type = dynamic needs "
        "it, or max_position_embeddings outside of it");
}

TEST_CASE("yarn's fields are read, in the object or beside it") {
  RotaryParameters expected = with(Scaling::yarn, 4.0, 32768, 1e6);
  // As Qwen2.5's model card has it.
  CHECK(parameters_of(parse(llama(R"("rope_theta": 1e6, "max_position_embeddings": 32768, )" +
                                  scaling(R"("factor": 4.0, "type": "yarn",
                                  "original_max_position_embeddings": 32768)")))) == expected);
  // Without a factor, by how much the context grew.
  CHECK(parameters_of(parse(llama(R"("rope_theta": 1e6, "max_position_embeddings": 131072,
            "original_max_position_embeddings": 32768, "rope_scaling": {"rope_type": "yarn",
            "original_max_position_embeddings": 32768})"))) == expected);
  // Without the context before, the context.
  CHECK(parameters_of(parse(llama(R"("rope_theta": 1e6, "max_position_embeddings": 32768, )" +
                                  scaling(R"("factor": 4, "type": "yarn")")))) == expected);
  expected.beta_fast = 16.0;
  expected.beta_slow = 2.0;
  expected.truncate = false;
  expected.mscale = 0.707;
  expected.mscale_all_dim = 0.8;
  CHECK(parameters_of(parse(llama(R"("rope_parameters": {"rope_type": "yarn", "type": "yarn",
            "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 32768,
            "beta_fast": 16, "beta_slow": 2, "truncate": false, "mscale": 0.707,
            "mscale_all_dim": 0.8, "finetuned": true})"))) == expected);
  CHECK(parse(llama(scaling(R"("type": "yarn", "factor": 2.0, "attention_factor": 1.5)")))
            .rotary[0]
            .frequencies.attention_factor == 1.5f);
}

TEST_CASE("longrope is read in its old spelling as well, and its factor must fit the contexts") {
  const std::string contexts =
      R"("max_position_embeddings": 64, "original_max_position_embeddings": 16, )";
  RotaryParameters expected = with(Scaling::longrope, 4.0, 16);
  expected.rotary_dim = expected.head_dim = 8;
  expected.short_factor = {1.0, 1.5, 2.0, 2.5};
  expected.long_factor = {3.0, 4.0, 5.0, 6.0};
  for (const std::string type :
       {R"("type": "su")", R"("rope_type": "longrope")", R"("type": "su", "rope_type": "longrope")",
        R"("type": "longrope", "factor": 4.0)"}) {
    CAPTURE(type);
    CHECK(parameters_of(parse(small(contexts + scaling(type + ", " + kLists)))) == expected);
  }
  CHECK(refused(small(contexts + scaling(R"("type": "longrope", "factor": 8.0, )" + kLists))) ==
        "rope_scaling.factor = 8.0: contradicts max_position_embeddings / "
        "original_max_position_embeddings = 64 / 16");
  CHECK(
      refused(small(contexts + scaling(R"("original_max_position_embeddings": 32, "type": "su", )" +
                                       kLists))) ==
      "original_max_position_embeddings = 16: contradicts "
      "rope_scaling.original_max_position_embeddings = 32");
}

TEST_CASE("proportional scaling rotates the whole head, part of which stands still") {
  const ModelRope model = parse(llama(R"("rope_parameters": {"rope_type": "proportional",
      "partial_rotary_factor": 0.25, "rope_theta": 1e6})"));
  CHECK(model.spec.rotary_dim == 128);
  const RotaryParameters p = parameters_of(model);
  CHECK(p.rotary_dim == 32);
  CHECK(p.head_dim == 128);
  CHECK(model.rotary[0].frequencies.turns[15] != 0);
  CHECK(model.rotary[0].frequencies.turns[16] == 0);
  // A quarter of 12 dimensions is 3: one pair turns.
  CHECK(parse(R"({"head_dim": 12, "num_attention_heads": 2, "rope_scaling": {"type":
      "proportional"}, "partial_rotary_factor": 0.25})")
            .rotary[0]
            .parameters.rotary_dim == 2);
}

TEST_CASE("a scaling that is not known is refused with those that are") {
  for (const std::string key : {"type", "rope_type"}) {
    for (const std::string object : {"rope_scaling", "rope_parameters"}) {
      CHECK(refused(llama("\"" + object + "\": {\"" + key + "\": \"mrope\", \"factor\": 2.0}")) ==
            "unsupported: config.json: " + object + "." + key +
                " = mrope: this rotary scaling is not supported yet; supported: default, linear, "
                "ntk, dynamic, yarn, longrope, llama3, proportional");
    }
  }
}

TEST_CASE("a field that the scaling would ignore is refused by name") {
  const auto refused_field = [](const std::string& type, const std::string& field) {
    return refused(llama(scaling("\"type\": \"" + type + "\", " + field)));
  };
  CHECK(refused_field("dynamic", R"("factor": 1.0, "alpha": 1000.0)") ==
        "rope_scaling.alpha = 1000.0: is no field of rope_type dynamic; its fields: factor, "
        "original_max_position_embeddings");
  CHECK(refused_field("linear", R"("factor": 2.0, "low_freq_factor": 1.0)") ==
        "rope_scaling.low_freq_factor = 1.0: is no field of rope_type linear; its fields: factor");
  CHECK(refused_field("yarn", R"("factor": 2.0, "attn_factor": 1.0)")
            .starts_with("rope_scaling.attn_factor = 1.0: is no field of rope_type yarn; its "));
  CHECK(refused_field("default", R"("factor": 2.0)") ==
        "rope_scaling.factor = 2.0: contradicts rope_type = default");
  CHECK(refused_field("default", R"("factor": 1.0)") == "accepted");
  CHECK(refused_field("default", R"("alpha": null)") == "accepted");
  CHECK(refused(llama(R"("rope_scaling": {"type": "linear", "rope_type": "yarn"})")) ==
        "rope_scaling.type = \"linear\": contradicts rope_scaling.rope_type = \"yarn\"");
}

TEST_CASE("a field that the scaling needs is missed by name") {
  const auto refused_llama3 = [](const std::string& fields) {
    return refused(llama(scaling("\"rope_type\": \"llama3\"" + fields)));
  };
  const std::string missing = ": missing; rope_scaling.rope_type = llama3 needs it";
  CHECK(refused_llama3("") == "rope_scaling.factor" + missing);
  CHECK(refused_llama3(", \"factor\": 8") == "rope_scaling.low_freq_factor" + missing);
  CHECK(refused_llama3(R"(, "factor": 8, "low_freq_factor": 1)") ==
        "rope_scaling.high_freq_factor" + missing);
  CHECK(refused_llama3(R"(, "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4)") ==
        "rope_scaling.original_max_position_embeddings" + missing);
  CHECK(refused(llama(scaling(R"("type": "yarn")"))) ==
        "rope_scaling.factor: missing; rope_scaling.type = yarn needs it, or "
        "original_max_position_embeddings");
  CHECK(refused(small(scaling(R"("type": "longrope", "short_factor": [1, 1, 1, 1])"))) ==
        "rope_scaling.long_factor: missing; rope_scaling.type = longrope needs it");
  CHECK(refused(llama("\"max_position_embeddings\": 16, " +
                      scaling(R"("type": "yarn", "original_max_position_embeddings": 32)"))) ==
        "rope_scaling.factor: missing; rope_scaling.type = yarn needs it where "
        "max_position_embeddings (16) is below original_max_position_embeddings (32)");
}

TEST_CASE("a bad value is refused by name, value and rule") {
  const auto refused_factor = [](const std::string& factor) {
    return refused(llama(scaling(R"("type": "linear", "factor": )" + factor)));
  };
  CHECK(refused_factor("0") == "rope_scaling: factor = 0: must be a finite number of at least 1");
  CHECK(refused_factor("-8.0") ==
        "rope_scaling: factor = -8: must be a finite number of at least 1");
  CHECK(refused_factor("\"8\"") == "rope_scaling.factor = \"8\": must be a number");
  CHECK(refused_factor("[8]") == "rope_scaling.factor = [8]: must be a number");
  CHECK(refused(llama(scaling("\"type\": 7"))) == "rope_scaling.type = 7: must be a string");
  CHECK(refused(llama(scaling(R"("type": "yarn", "factor": 2, "truncate": 1)"))) ==
        "rope_scaling.truncate = 1: must be true or false");
  CHECK(refused(small(scaling(R"("type": "longrope", "short_factor": [1, 1, 1],
                                 "long_factor": [1, 1, 1, 1])"))) ==
        "rope_scaling: short_factor = a list of 3: must have rotary_dim / 2 = 4 numbers");
  CHECK(refused(small(scaling(R"("type": "longrope", "short_factor": [1, 1, "1", 1],
                                 "long_factor": [1, 1, 1, 1])"))) ==
        "rope_scaling.short_factor[2] = \"1\": must be a number");
  CHECK(refused(small(scaling(R"("type": "longrope", "long_factor": 2)")))
            .starts_with("rope_scaling.short_factor: missing"));
  CHECK(refused(llama("\"max_position_embeddings\": 0")) ==
        "max_position_embeddings = 0: must be at least 1");
  CHECK(refused(llama("\"max_position_embeddings\": \"4k\""))
            .starts_with("max_position_embeddings = \"4k\": must be an integer"));
  CHECK(refused(llama(R"("max_position_embeddings": 4096, "n_positions": 2048)")) ==
        "n_positions = 2048: contradicts max_position_embeddings = 4096");
}

}  // namespace ropejit
