#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ropejit/model.h"
#include "tests/command_line.h"

namespace ropejit {
namespace {

using nlohmann::json;

std::string inspect(const CommandLine& cli, const std::string& model,
                    const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"inspect", "--model", model};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const CommandResult result = cli.run(arguments);
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  return result.out;
}

json inspect_json(const CommandLine& cli, const std::string& model) {
  const json document = json::parse(inspect(cli, model, {"--json"}));
  REQUIRE(document["models"].size() == 1);
  return document["models"][0];
}

}  // namespace

TEST_CASE("a model's shape, layout and why, scaling, frequencies and kernels are printed") {
  const std::string out = inspect(CommandLine(), model_path("llama-3.1-8b"));
  // 500000^(-126 / 128) / 8 = 3.06893e-07.
  CHECK(
      out.starts_with("llama (llama-3.1-8b)\n"
                      "  heads              32 query, 8 key/value\n"
                      "  head_dim           128\n"
                      "  rotary_dim         128\n"
                      "  dtype              bfloat16\n"
                      "  layout             sequential (model_type llama)\n"
                      "  context            131072 tokens\n"
                      "\n"
                      "all layers\n"
                      "  scaling            llama3\n"
                      "  parameters         theta 500000\n"
                      "                     factor 8\n"
                      "                     original_max_position_embeddings 8192\n"
                      "                     low_freq_factor 1\n"
                      "                     high_freq_factor 4\n"
                      "  attention factor   1\n"
                      "  first pair         1 radians per position, a turn in 6.28319 positions\n"
                      "  last pair          3.06893e-07 radians per position, a turn in "
                      "2.04736e+07 positions\n"
                      "\n"
                      "positions per turn, by pair\n"
                      "   1e8 |\n"));
  CHECK(
      out.ends_with("kernels\n"
                    "  d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16\n"
                    "  d128 r128 bfloat16 sequential q32 kv8 sequence_offsets int32 exact forward "
                    "a16\n"
                    "  d128 r128 bfloat16 sequential q32 kv8 token_ids int32 exact forward a16\n"
                    "  d128 r128 bfloat16 sequential q32 kv8 token_ids int64 exact forward a16\n"
                    "  d128 r128 bfloat16 sequential q32 kv8 ragged int32 exact forward a16\n"));
}

TEST_CASE("the plot marks the context that the model was trained on and the stretched one") {
  const CommandLine cli;
  const std::string stretched = inspect(cli, model_path("llama-3.1-8b"));
  CHECK(contains(stretched, "- 8192 trained context\n"));
  CHECK(contains(stretched, "- 131072 context\n"));
  const std::string plain = inspect(cli, model_path("llama-3-8b"));
  CHECK(contains(plain, "- 8192 trained context\n"));
  CHECK_FALSE(contains(plain, "131072"));
  CHECK(contains(inspect(cli, model_path("gpt-j-6b")), "- 2048 trained context\n"));
}

TEST_CASE("each type of layer has its own parameters and curve") {
  const std::string out = inspect(CommandLine(), model_path("gemma-3-4b"));
  CHECK(contains(out,
                 "\nfull_attention\n"
                 "  scaling            linear\n"
                 "  parameters         theta 1000000\n"
                 "                     factor 8\n"
                 "  attention factor   1\n"
                 "  first pair         0.125 radians per position, a turn in 50.2655 positions\n"));
  CHECK(contains(out,
                 "\nsliding_attention\n"
                 "  scaling            default\n"
                 "  parameters         theta 10000\n"));
  CHECK(contains(out, "by pair: * full_attention; o sliding_attention\n"));
  CHECK(count_lines(out, "  d256 r256 bfloat16 sequential q8 kv4 offset exact forward a16") == 1);
}

TEST_CASE("frequencies on either side of longrope's switch are told apart") {
  const std::string out = inspect(CommandLine(), model_path("phi-3-mini-128k"));
  CHECK(contains(out, "  parameters         theta 10000\n                     factor 32\n"));
  CHECK(contains(out, "short_factor 48 numbers from 1.1 to "));
  CHECK(contains(out, "  attention factor   1.1902381\n"));  // sqrt(1 + ln 32 / ln 4096)
  CHECK(contains(out, "  up to 4096 tokens\n  first pair         0.909091 radians"));   // 1 / 1.1
  CHECK(contains(out, "  beyond 4096 tokens\n  first pair         0.934579 radians"));  // 1 / 1.07
  CHECK(contains(out, "by pair: * up to 4096 tokens; o beyond 4096 tokens\n"));
}

TEST_CASE("pairs that stand still are counted, not drawn") {
  const CommandLine cli;
  const std::string model = cli.folder.write("config.json", R"({"model_type": "llama",
      "head_dim": 16, "num_attention_heads": 2, "rope_parameters": {"rope_type": "proportional",
      "partial_rotary_factor": 0.25, "rope_theta": 10000.0}})");
  const std::string out = inspect(cli, model);
  CHECK(contains(out, "  last pair          stands still\n"));
  CHECK(contains(out, "  pairs that turn    2 of 8\n"));
  const json wavelengths = inspect_json(cli, model)["rotary"][0]["frequencies"][0]["wavelengths"];
  REQUIRE(wavelengths.size() == 8);
  CHECK(wavelengths[1].get<double>() == doctest::Approx(2 * M_PI * std::pow(1e4, 2.0 / 16)));
  CHECK(wavelengths[2].is_null());
}

TEST_CASE("--layout is the layout, and the reason for it") {
  const CommandLine cli;
  const std::string model = model_path("llama-3-8b");
  CHECK(contains(inspect(cli, model, {"--layout", "gptj"}),
                 "  layout             interleaved (--layout)\n"));
  const std::string novel =
      cli.folder.write("config.json", R"({"hidden_size": 64, "num_attention_heads": 4})");
  CHECK(contains(inspect(cli, novel),
                 "  layout             sequential (assumed: model_type is missing)\n"
                 "  context            not known\n"));
}

TEST_CASE("--json says the same") {
  const json model = inspect_json(CommandLine(), model_path("llama-3.1-8b"));
  CHECK(model["model"] == "llama (llama-3.1-8b)");
  CHECK(model["q_heads"] == 32);
  CHECK(model["kv_heads"] == 8);
  CHECK(model["head_dim"] == 128);
  CHECK(model["rotary_dim"] == 128);
  CHECK(model["dtype"] == "bfloat16");
  CHECK(model["layout"] == "sequential");
  CHECK(model["layout_reason"] == "model_type llama");
  CHECK(model["max_position_embeddings"] == 131072);
  REQUIRE(model["rotary"].size() == 1);
  const json& set = model["rotary"][0];
  CHECK(set["name"].is_null());
  CHECK(set["scaling"] == "llama3");
  CHECK(set["parameters"] == json{{"theta", 500000.0},
                                  {"factor", 8.0},
                                  {"original_max_position_embeddings", 8192},
                                  {"low_freq_factor", 1.0},
                                  {"high_freq_factor", 4.0}});
  CHECK(set["attention_factor"] == 1.0);
  CHECK(set["depends_on_length"] == false);
  REQUIRE(set["frequencies"].size() == 1);
  const json& frequencies = set["frequencies"][0];
  CHECK(frequencies["length"].is_null());
  CHECK(frequencies["first_frequency"].get<double>() == doctest::Approx(1.0));
  const double last = std::pow(500000.0, -126.0 / 128) / 8;
  CHECK(frequencies["last_frequency"].get<double>() == doctest::Approx(last));
  REQUIRE(frequencies["wavelengths"].size() == 64);
  CHECK(frequencies["wavelengths"][63].get<double>() == doctest::Approx(2 * M_PI / last));
  REQUIRE(model["kernels"].size() == 5);
  CHECK(parse_specs(model["kernels"].dump(), "kernels").size() == 5);
  CHECK(model["kernels"][2]["positions"] == "token_ids");
}

TEST_CASE("the JSON has a set for each type of layer, and frequencies for each length") {
  const CommandLine cli;
  const json gemma = inspect_json(cli, model_path("gemma-3-4b"));
  REQUIRE(gemma["rotary"].size() == 2);
  CHECK(gemma["rotary"][0]["name"] == "full_attention");
  CHECK(gemma["rotary"][1]["name"] == "sliding_attention");
  const json phi = inspect_json(cli, model_path("phi-3-mini-128k"))["rotary"][0];
  CHECK(phi["depends_on_length"] == true);
  CHECK(phi["parameters"]["long_factor"].size() == 48);
  REQUIRE(phi["frequencies"].size() == 2);
  CHECK(phi["frequencies"][0]["length"] == 4096);
  CHECK(phi["frequencies"][1]["length"] == 131072);
  CHECK(phi["frequencies"][1]["last_frequency"] < phi["frequencies"][0]["last_frequency"]);
}

TEST_CASE("several models are inspected in their order") {
  const CommandLine cli;
  const std::string out = inspect(cli, model_path("phi-2"), {"--model", model_path("llama-3-8b")});
  CHECK(out.starts_with("phi (phi-2)\n"));
  CHECK(contains(out, "\n\nllama (llama-3-8b)\n"));
}

TEST_CASE("a model that is missing or not supported is said") {
  const CommandLine cli;
  const CommandResult none = cli.run({"inspect"});
  CHECK(none.exit_code == 2);
  CHECK(none.err == "ropejit: nothing to inspect: name a --model config.json\n");
  const CommandResult mla = cli.run({"inspect", "--model", model_path("deepseek-v3")});
  CHECK(mla.exit_code == 2);
  CHECK(mla.out.empty());
  CHECK(contains(mla.err, "multi-head latent attention (MLA) is not supported yet"));
}

}  // namespace ropejit
