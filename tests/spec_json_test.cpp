#include <doctest/doctest.h>

#include <string>

#include "ropejit/model.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

std::vector<SpecFile> parse(std::string_view json) { return parse_specs(json, "a.json"); }

std::string refused(std::string_view json) {
  return refusal([&] { parse(json); });
}

// A spec with one more field, which is what each refusal is about.
std::string with(const std::string& field) {
  return R"({"q_heads": 32, "kv_heads": 8, "head_dim": 128, )" + field + "}";
}

TEST_CASE("a spec has defaults for all but its shape") {
  const auto specs = parse(R"({"head_dim": 128, "q_heads": 32, "kv_heads": 8})");
  REQUIRE(specs.size() == 1);
  CHECK(specs[0].spec == RopeSpec{.head_dim = 128, .q_heads = 32, .kv_heads = 8});
  CHECK(specs[0].frequencies == default_frequencies(128, 10000.0L));
}

TEST_CASE("every field of a spec is read") {
  const auto specs = parse(R"([{"head_dim": 256, "rotary_dim": 64, "dtype": "fp16",
      "layout": "gptj", "q_heads": 16, "kv_heads": 1, "positions": "token_ids",
      "index_type": "int64", "angles": "table", "direction": "inverse", "alignment": 4,
      "theta": 500000}, {"head_dim": 64, "q_heads": 1, "kv_heads": 2, "theta": 1.5e3}])");
  REQUIRE(specs.size() == 2);
  const RopeSpec expected{.head_dim = 256,
                          .rotary_dim = 64,
                          .dtype = Dtype::float16,
                          .layout = Layout::interleaved,
                          .q_heads = 16,
                          .kv_heads = 1,
                          .positions = PositionMode::token_ids,
                          .index_type = IndexType::int64,
                          .angles = AngleSource::table,
                          .direction = Direction::inverse,
                          .alignment = 4};
  CHECK(specs[0].spec == expected);
  CHECK(specs[0].frequencies == default_frequencies(64, 500000.0L));
  CHECK(specs[1].frequencies == default_frequencies(64, 1500.0L));
}

TEST_CASE("a spec written as JSON reads back as itself") {
  RopeSpec spec{.head_dim = 80, .rotary_dim = 32, .q_heads = 32, .kv_heads = 32};
  for (const RopeSpec& variant :
       expand_variants(spec,
                       "index_type=int32,int64;angles=exact,table;direction=forward,inverse;"
                       "alignment=4,16;dtype=float32,float16,bfloat16;layout=neox,gptj")) {
    const auto specs = parse(to_json(variant));
    REQUIRE(specs.size() == 1);
    CHECK(specs[0].spec == variant);
  }
}

TEST_CASE("a number that is not exactly an int is refused with its value") {
  const std::string rule =
      ": must be an integer that 32 bits can hold, without fraction or exponent";
  const auto head_dim = [](const std::string& value) {
    return refused(R"({"q_heads": 32, "kv_heads": 8, "head_dim": )" + value + "}");
  };
  const std::string start = "invalid_argument: a.json: head_dim = ";
  CHECK(head_dim("128.5") == start + "128.5" + rule);
  CHECK(head_dim("128.0") == start + "128.0" + rule);
  CHECK(head_dim("1e3") == start + "1000.0" + rule);
  CHECK(head_dim("4294967424") == start + "4294967424" + rule);  // 128 modulo 2^32
  CHECK(head_dim("-2147483649") == start + "-2147483649" + rule);
  CHECK(head_dim("18446744073709551615") == start + "18446744073709551615" + rule);
  CHECK(head_dim("\"128\"") == start + "\"128\"" + rule);
  CHECK(head_dim("true") == start + "true" + rule);
  CHECK(head_dim("[128]") == start + "[128]" + rule);
  CHECK(head_dim("127") == start + "127: must be even, from 2 to 1024");
  CHECK(head_dim("-2147483648") == start + "-2147483648: must be even, from 2 to 1024");
  CHECK(head_dim("1e999").starts_with("invalid_argument: a.json: malformed JSON: "));
}

TEST_CASE("an unknown key is refused with the nearest known one") {
  CHECK(refused(with(R"("headdim": 128)")) ==
        "invalid_argument: a.json: \"headdim\": unknown key; nearest known: head_dim");
  CHECK(refused(R"([{"head_dim": 128, "q_heads": 1, "kv_heads": 1}, {"kv_head": 1}])") ==
        "invalid_argument: a.json: [1]: \"kv_head\": unknown key; nearest known: kv_heads");
  CHECK(refused(with(R"("rope_theta": 5)")) ==
        "invalid_argument: a.json: \"rope_theta\": unknown key; nearest known: theta");
}

TEST_CASE("a bad value is refused with its place and the rule") {
  CHECK(refused(with(R"("layout": "neoxx")")) ==
        "invalid_argument: a.json: layout = neoxx: must be interleaved or sequential; nearest "
        "known: neox");
  CHECK(refused(with(R"("dtype": 16)")) ==
        "invalid_argument: a.json: dtype = 16: must be a string");
  CHECK(refused(with(R"("rotary_dim": 130)")) ==
        "invalid_argument: a.json: rotary_dim = 130: must be even, from 2 to head_dim (128), or 0 "
        "for all of it");
  CHECK(refused(with(R"("theta": 0.5)")) ==
        "invalid_argument: a.json: theta = 0.5: must be a finite number of at least 1");
  CHECK(refused(with(R"("theta": "big")")) ==
        "invalid_argument: a.json: theta = \"big\": must be a number");
  CHECK(refused(R"([{"head_dim": 128, "q_heads": 0, "kv_heads": 1}])") ==
        "invalid_argument: a.json: [0]: q_heads = 0: must be from 1 to 512");
  CHECK(refused(R"([{"head_dim": 128, "q_heads": 1, "kv_heads": 1, "angles": "tab"}])") ==
        "invalid_argument: a.json: [0].angles = tab: must be exact or table; nearest known: table");
}

TEST_CASE("a missing field is refused by name") {
  CHECK(refused(R"({"head_dim": 128, "q_heads": 32})") ==
        "invalid_argument: a.json: kv_heads: missing; a spec must have it");
  CHECK(refused(R"([{"q_heads": 32, "kv_heads": 1}])") ==
        "invalid_argument: a.json: [0]: head_dim: missing; a spec must have it");
}

TEST_CASE("a document that is no object or list of objects is refused") {
  CHECK(refused("128") == "invalid_argument: a.json: 128: must be an object or a list of objects");
  CHECK(refused("[]") == "invalid_argument: a.json: []: must hold at least one spec");
  CHECK(refused("[1]") == "invalid_argument: a.json: [0] = 1: must be an object");
}

TEST_CASE("malformed JSON is refused with line and column") {
  const auto at = [](const std::string& place) {
    return "invalid_argument: a.json: malformed JSON at " + place + ": syntax error";
  };
  CHECK(refused("").starts_with(at("line 1, column 1")));
  CHECK(refused("{\"head_dim\": 128,}").starts_with(at("line 1, column 18")));
  CHECK(
      refused("{\n  \"head_dim\": 128\n  \"q_heads\": 1\n}").starts_with(at("line 3, column 11")));
  CHECK(refused("{\n  \"head_dim\": 128\n").starts_with(at("line 3, column 1")));
  CHECK(refused("{} x").starts_with(at("line 1, column 4")));
  CHECK(refused("{\"head_dim\": NaN}").starts_with(at("line 1, column 14")));
  CHECK(refused("\"\xff\"").starts_with(at("line 1, column 2")));
}

TEST_CASE("a key that stands twice is refused") {
  CHECK(refused(with(R"("head_dim": 64)")) ==
        "invalid_argument: a.json: \"head_dim\": this key stands twice in one object");
  CHECK(parse(R"([{"head_dim": 64, "q_heads": 1, "kv_heads": 1},
                  {"head_dim": 64, "q_heads": 1, "kv_heads": 1}])")
            .size() == 2);
}

TEST_CASE("nesting without end is refused") {
  CHECK(refused(std::string(100000, '[')) ==
        "invalid_argument: a.json: nested deeper than 64 levels");
}

TEST_CASE("a long value is cut in a message") {
  const std::string message = refused("\"" + std::string(100000, 'x') + "\"");
  CHECK(message.size() < 200);
  CHECK(message.ends_with("x...: must be an object or a list of objects"));
}

TEST_CASE("a file that cannot be read is refused by name and reason") {
  CHECK(refusal([] { load_specs("/nonexistent/specs.json"); }) ==
        "io: /nonexistent/specs.json: cannot be read: No such file or directory");
  CHECK(refusal([] { load_specs(ROPEJIT_TEST_DATA); }) == "io: " ROPEJIT_TEST_DATA
                                                          ": cannot be read: Is a directory");
}

}  // namespace
}  // namespace ropejit
