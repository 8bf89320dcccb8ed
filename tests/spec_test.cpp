#include "ropejit/spec.h"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "ropejit/args.h"
#include "ropejit/config.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

const RopeSpec kLlama{.head_dim = 128, .q_heads = 32, .kv_heads = 8};

template <typename Change>
std::string refused(Change change) {
  RopeSpec spec = kLlama;
  change(spec);
  return refusal([&] { validate(spec); });
}

TEST_CASE("validate accepts the ends of every range") {
  for (const int head_dim : {2, 80, 1024}) {
    for (const int rotary_dim : {0, 2, head_dim}) {
      for (const int heads : {1, 17, 512}) {
        const RopeSpec spec{.head_dim = head_dim,
                            .rotary_dim = rotary_dim,
                            .q_heads = heads,
                            .kv_heads = 513 - heads};
        CHECK_NOTHROW(validate(spec));
      }
    }
  }
}

TEST_CASE("a bad field is refused by name, value and rule") {
  const std::string head_dim = ": must be even, from 2 to 1024";
  for (const int value : {-2, 0, 1, 127, 1026, std::numeric_limits<int>::max()}) {
    CHECK(refused([&](RopeSpec& s) { s.head_dim = value; }) ==
          "invalid_argument: head_dim = " + std::to_string(value) + head_dim);
  }
  for (const int value : {-2, 1, 63, 130}) {
    CHECK(refused([&](RopeSpec& s) { s.rotary_dim = value; }) ==
          "invalid_argument: rotary_dim = " + std::to_string(value) +
              ": must be even, from 2 to head_dim (128), or 0 for all of it");
  }
  for (const int value : {-1, 0, 513}) {
    CHECK(refused([&](RopeSpec& s) { s.q_heads = value; }) ==
          "invalid_argument: q_heads = " + std::to_string(value) + ": must be from 1 to 512");
    CHECK(refused([&](RopeSpec& s) { s.kv_heads = value; }) ==
          "invalid_argument: kv_heads = " + std::to_string(value) + ": must be from 1 to 512");
  }
  for (const int value : {0, 1, 3, 64, -16}) {
    CHECK(refused([&](RopeSpec& s) { s.alignment = value; }) ==
          "invalid_argument: alignment = " + std::to_string(value) + ": must be 2, 4, 8, 16 or 32");
  }
}

TEST_CASE("an alignment below one element is refused") {
  CHECK(refused([](RopeSpec& s) { s.alignment = 2; }) == "accepted");
  CHECK(refused([](RopeSpec& s) {
          s.alignment = 2;
          s.dtype = Dtype::float32;
        }) == "invalid_argument: alignment = 2: must be at least one element of float32: 4 bytes");
}

TEST_CASE("rotary() is the whole head where rotary_dim is 0") {
  CHECK(RopeSpec{.head_dim = 96}.rotary() == 96);
  CHECK(RopeSpec{.head_dim = 96, .rotary_dim = 24}.rotary() == 24);
}

TEST_CASE("sizes are those of the types") {
  CHECK(size_of(Dtype::float32) == 4);
  CHECK(size_of(Dtype::float16) == 2);
  CHECK(size_of(Dtype::bfloat16) == 2);
  CHECK(size_of(IndexType::int32) == 4);
  CHECK(size_of(IndexType::int64) == 8);
}

TEST_CASE("every name reads back as its value") {
  for (const auto v : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    CHECK(parse_dtype(name(v)) == v);
  }
  for (const auto v : {Layout::interleaved, Layout::sequential}) {
    CHECK(parse_layout(name(v)) == v);
  }
  for (const auto v : {PositionMode::offset, PositionMode::sequence_offsets,
                       PositionMode::token_ids, PositionMode::ragged}) {
    CHECK(parse_position_mode(name(v)) == v);
  }
  for (const auto v : {IndexType::int32, IndexType::int64}) {
    CHECK(parse_index_type(name(v)) == v);
  }
  for (const auto v : {AngleSource::exact, AngleSource::table}) {
    CHECK(parse_angle_source(name(v)) == v);
  }
  for (const auto v : {Direction::forward, Direction::inverse}) {
    CHECK(parse_direction(name(v)) == v);
  }
}

TEST_CASE("names are spelled as the enums are") {
  CHECK(name(Dtype::bfloat16) == "bfloat16");
  CHECK(name(Layout::interleaved) == "interleaved");
  CHECK(name(Layout::sequential) == "sequential");
  CHECK(name(PositionMode::sequence_offsets) == "sequence_offsets");
  CHECK(name(IndexType::int64) == "int64");
  CHECK(name(AngleSource::table) == "table");
  CHECK(name(Direction::inverse) == "inverse");
}

TEST_CASE("the field's spellings of a dtype are accepted") {
  for (const char* text : {"float32", "fp32", "f32", "float", "FP32", "torch.float32"}) {
    CHECK(parse_dtype(text) == Dtype::float32);
  }
  for (const char* text : {"float16", "fp16", "f16", "half", "torch.float16"}) {
    CHECK(parse_dtype(text) == Dtype::float16);
  }
  for (const char* text : {"bfloat16", "bf16", "BF16", "torch.bfloat16"}) {
    CHECK(parse_dtype(text) == Dtype::bfloat16);
  }
}

TEST_CASE("the field's spellings of a layout are accepted in any case") {
  for (const char* text : {"interleaved", "interleave", "rotary_interleaved", "gptj", "GPT-J",
                           "adjacent", "rotate_every_two", "normal", "NORM", "complex", "meta"}) {
    CAPTURE(text);
    CHECK(parse_layout(text) == Layout::interleaved);
  }
  for (const char* text : {"sequential", "neox", "NeoX", "GPT-NeoX", "gpt_neox", "rotate_half",
                           "half", "halves", "half-split", "non_interleaved"}) {
    CAPTURE(text);
    CHECK(parse_layout(text) == Layout::sequential);
  }
}

TEST_CASE("an unknown word is refused with the field, the accepted values and the nearest") {
  CHECK(refusal([] { parse_layout("rotate_hlaf", "rope.layout"); }) ==
        "invalid_argument: rope.layout = rotate_hlaf: must be interleaved or sequential; "
        "nearest known: rotate_half");
  CHECK(refusal([] { parse_dtype("bfloat"); }) ==
        "invalid_argument: dtype = bfloat: must be float32, float16 or bfloat16; "
        "nearest known: float");
  CHECK(refusal([] { parse_position_mode(""); }) ==
        "invalid_argument: positions = : must be offset, sequence_offsets, token_ids or ragged; "
        "nearest known: offset");
  CHECK(refusal([] { parse_index_type("uint32"); }) ==
        "invalid_argument: index_type = uint32: must be int32 or int64; nearest known: int32");
  CHECK(refusal([] { parse_angle_source("tables"); }) ==
        "invalid_argument: angles = tables: must be exact or table; nearest known: table");
  CHECK(refusal([] { parse_direction("foward"); }) ==
        "invalid_argument: direction = foward: must be forward or inverse; "
        "nearest known: forward");
}

TEST_CASE("describe says what is computed in one line") {
  CHECK(describe(kLlama) == "d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16");
  const RopeSpec other{.head_dim = 256,
                       .rotary_dim = 64,
                       .dtype = Dtype::float32,
                       .layout = Layout::interleaved,
                       .q_heads = 16,
                       .kv_heads = 1,
                       .positions = PositionMode::token_ids,
                       .index_type = IndexType::int64,
                       .angles = AngleSource::table,
                       .direction = Direction::inverse,
                       .alignment = 4};
  CHECK(describe(other) == "d256 r64 float32 interleaved q16 kv1 token_ids int64 table inverse a4");
}

TEST_CASE("a config's fields are held to their rules") {
  CHECK_NOTHROW(validate(LaunchConfig{}));
  CHECK_NOTHROW(validate(LaunchConfig{32, 4, Pairing::registers, 1}));
  CHECK_NOTHROW(validate(LaunchConfig{512, 32, Pairing::exchange, 4}));
  for (const int value : {-32, 0, 31, 33, 100, 544}) {
    CHECK(refusal([&] { validate(LaunchConfig{.block_threads = value}); }) ==
          "invalid_argument: block_threads = " + std::to_string(value) +
              ": must be a multiple of 32, from 32 to 512");
  }
  for (const int value : {-4, 0, 2, 12, 64}) {
    CHECK(refusal([&] { validate(LaunchConfig{.access_bytes = value}); }) ==
          "invalid_argument: access_bytes = " + std::to_string(value) + ": must be 4, 8, 16 or 32");
  }
  for (const int value : {-1, 0, 3, 8}) {
    CHECK(refusal([&] { validate(LaunchConfig{.heads_per_thread = value}); }) ==
          "invalid_argument: heads_per_thread = " + std::to_string(value) + ": must be 1, 2 or 4");
  }
}

TEST_CASE("a pairing is read back from its name, and a config is described in one line") {
  for (const Pairing value : {Pairing::registers, Pairing::exchange}) {
    CHECK(parse_pairing(name(value)) == value);
  }
  CHECK(refusal([] { parse_pairing("shuffle", "config.pairing"); }) ==
        "invalid_argument: config.pairing = shuffle: must be registers or exchange");
  CHECK(describe(LaunchConfig{96, 8, Pairing::exchange, 2}) ==
        "96 threads, 8 bytes, exchange, 2 heads");
  CHECK(describe(LaunchConfig{.streaming_stores = true}) ==
        "128 threads, 16 bytes, registers, 1 head, streaming");
  CHECK(describe(LaunchConfig{}) == "128 threads, 16 bytes, registers, 1 head");
}

// Numbers the elements of a dense array in memory order by walking its dimensions, outermost first,
// and checks that the tensor's strides reach each of them.
TEST_CASE("dense strides reach every element in the order of its dimensions") {
  constexpr std::int64_t kBatch = 2, kSeq = 3, kHeads = 5, kDim = 4;
  std::vector<float> memory(kBatch * kSeq * kHeads * kDim);
  const auto index = [](const Tensor& t, std::int64_t b, std::int64_t s, std::int64_t h,
                        std::int64_t d) {
    return b * t.stride_batch + s * t.stride_seq + h * t.stride_head + d * t.stride_dim;
  };
  const Tensor bshd = dense_bshd(memory.data(), kSeq, kHeads, kDim);
  const Tensor bhsd = dense_bhsd(memory.data(), kSeq, kHeads, kDim);
  const Tensor sbhd = dense_sbhd(memory.data(), kBatch, kHeads, kDim);
  CHECK(bshd.data == memory.data());
  std::int64_t next = 0;
  for (std::int64_t b = 0; b < kBatch; ++b) {
    for (std::int64_t s = 0; s < kSeq; ++s) {
      for (std::int64_t h = 0; h < kHeads; ++h) {
        for (std::int64_t d = 0; d < kDim; ++d) CHECK(index(bshd, b, s, h, d) == next++);
      }
    }
  }
  next = 0;
  for (std::int64_t b = 0; b < kBatch; ++b) {
    for (std::int64_t h = 0; h < kHeads; ++h) {
      for (std::int64_t s = 0; s < kSeq; ++s) {
        for (std::int64_t d = 0; d < kDim; ++d) CHECK(index(bhsd, b, s, h, d) == next++);
      }
    }
  }
  next = 0;
  for (std::int64_t s = 0; s < kSeq; ++s) {
    for (std::int64_t b = 0; b < kBatch; ++b) {
      for (std::int64_t h = 0; h < kHeads; ++h) {
        for (std::int64_t d = 0; d < kDim; ++d) CHECK(index(sbhd, b, s, h, d) == next++);
      }
    }
  }
}

}  // namespace
}  // namespace ropejit
