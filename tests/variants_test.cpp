#include <doctest/doctest.h>

#include <set>

#include "ropejit/model.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

const RopeSpec kBase{
    .head_dim = 128, .rotary_dim = 64, .layout = Layout::interleaved, .q_heads = 32, .kv_heads = 2};

// What follows the head counts in each spec's description.
std::vector<std::string> tails(std::string_view variants) {
  const std::string head = "d128 r64 bfloat16 interleaved q32 kv2 ";
  std::vector<std::string> tails;
  for (const RopeSpec& spec : expand_variants(kBase, variants)) {
    const std::string line = describe(spec);
    CHECK(line.starts_with(head));
    tails.push_back(line.substr(std::min(line.size(), head.size())));
  }
  return tails;
}

std::string refused(std::string_view variants) {
  return refusal([&] { expand_variants(kBase, variants); });
}

TEST_CASE("default is every position mode with its usual index types, exact and forward") {
  CHECK(tails("default") == std::vector<std::string>{
                                "offset exact forward a16",
                                "sequence_offsets int32 exact forward a16",
                                "token_ids int32 exact forward a16",
                                "token_ids int64 exact forward a16",
                                "ragged int32 exact forward a16",
                            });
}

TEST_CASE("all is the product of positions, index types, angles and directions") {
  const auto specs = expand_variants(kBase, "all");
  // Offsets come without an index type, the three other modes with two each.
  CHECK(specs.size() == (1 + 3 * 2) * 2 * 2);
  std::set<std::string> lines;
  for (const RopeSpec& spec : specs) {
    CHECK(spec.alignment == 16);
    CHECK(spec.dtype == kBase.dtype);
    CHECK(spec.layout == kBase.layout);
    lines.insert(describe(spec));
  }
  CHECK(lines.size() == specs.size());
  CHECK(describe(specs.front()) ==
        "d128 r64 bfloat16 interleaved q32 kv2 offset exact forward a16");
  CHECK(describe(specs.back()) ==
        "d128 r64 bfloat16 interleaved q32 kv2 ragged int64 table inverse a16");
}

TEST_CASE("a list sets the dimensions that it names and leaves the others at their defaults") {
  CHECK(tails("positions=token_ids") == std::vector<std::string>{
                                            "token_ids int32 exact forward a16",
                                            "token_ids int64 exact forward a16",
                                        });
  CHECK(tails(" positions = offset , token_ids ; direction = forward , inverse ") ==
        std::vector<std::string>{
            "offset exact forward a16",
            "offset exact inverse a16",
            "token_ids int32 exact forward a16",
            "token_ids int32 exact inverse a16",
            "token_ids int64 exact forward a16",
            "token_ids int64 exact inverse a16",
        });
  CHECK(tails("index_type=int64;positions=ragged,offset;angles=table;alignment=16,2") ==
        std::vector<std::string>{
            "ragged int64 table forward a16",
            "ragged int64 table forward a2",
            "offset table forward a16",
            "offset table forward a2",
        });
}

TEST_CASE("dtype and layout can be varied too") {
  const auto specs = expand_variants(kBase, "positions=offset;dtype=fp16,fp32;layout=neox,gptj");
  REQUIRE(specs.size() == 4);
  CHECK(specs[0].dtype == Dtype::float16);
  CHECK(specs[0].layout == Layout::sequential);
  CHECK(specs[1].layout == Layout::interleaved);
  CHECK(specs[3].dtype == Dtype::float32);
}

TEST_CASE("duplicates are removed") {
  CHECK(tails("positions=offset,offset;index_type=int32,int64;direction=forward,forward").size() ==
        1);
  CHECK(expand_variants(kBase, "positions=offset;layout=neox,half").size() == 1);
}

TEST_CASE("an unknown dimension, value or set is refused with the nearest") {
  CHECK(refused("position=offset") ==
        "invalid_argument: variants: position: unknown dimension; nearest known: positions");
  CHECK(refused("positions=tokens_ids") ==
        "invalid_argument: variants: positions = tokens_ids: must be offset, sequence_offsets, "
        "token_ids or ragged; nearest known: token_ids");
  CHECK(refused("alignment=15") ==
        "invalid_argument: variants: alignment = 15: must be 2, 4, 8, 16 or 32; nearest known: 16");
  CHECK(refused("defautl") ==
        "invalid_argument: variants: defautl: must be default, all or "
        "dimension=value,value;...; nearest known: default");
  CHECK(refused("positions=offset;positions=ragged") ==
        "invalid_argument: variants: positions: given twice");
  CHECK(refused("").starts_with("invalid_argument: variants: "));
  CHECK(refused("positions=").starts_with("invalid_argument: variants: positions = : must be"));
  CHECK(refused("positions=offset;").starts_with("invalid_argument: variants: "));
}

TEST_CASE("a combination that is no valid spec is refused") {
  CHECK(refused("alignment=2;dtype=float32") ==
        "invalid_argument: alignment = 2: must be at least one element of float32: 4 bytes");
  CHECK(refusal([] { expand_variants(RopeSpec{}, "default"); }) ==
        "invalid_argument: head_dim = 0: must be even, from 2 to 1024");
}

}  // namespace
}  // namespace ropejit
