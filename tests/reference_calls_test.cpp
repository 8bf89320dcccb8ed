// Whole calls of apply_reference: which element of which buffer gets what, for all that RopeArgs
// can say. What becomes of one head is reference_test.cpp's.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "ropejit/reference.h"
#include "src/rounding.h"
#include "src/token_positions.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

using Floats = std::vector<float>;
using Indices = std::vector<std::int32_t>;
using LongIndices = std::vector<std::int64_t>;

constexpr int kHeadDim = 8;
constexpr int kRotaryDim = 6;

RopeSpec spec_of(int q_heads, int kv_heads) {
  RopeSpec spec;
  spec.head_dim = kHeadDim;
  spec.rotary_dim = kRotaryDim;
  spec.dtype = Dtype::float32;
  spec.q_heads = q_heads;
  spec.kv_heads = kv_heads;
  spec.alignment = 4;
  return spec;
}

Frequencies frequencies() { return default_frequencies(kRotaryDim, 10000); }

Floats counting(std::size_t count, float first) {
  Floats values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = first + 0.001f * static_cast<float>(i);
  return values;
}

Floats row(const Tensor& tensor, std::int64_t b, std::int64_t s, std::int64_t h) {
  const float* first = static_cast<const float*>(tensor.data) + b * tensor.stride_batch +
                       s * tensor.stride_seq + h * tensor.stride_head;
  Floats elements;
  for (int d = 0; d < kHeadDim; ++d) elements.push_back(first[d * tensor.stride_dim]);
  return elements;
}

/// Whether one row of `out` is the row of `in`, rotated to `position`; `in` still has its old
/// values.
bool is_rotated(const Tensor& in, const Tensor& out, std::int64_t b, std::int64_t s, std::int64_t h,
                std::int64_t position, const Frequencies& turns = frequencies()) {
  const Floats x = row(in, b, s, h), y = row(out, b, s, h);
  for (std::size_t i = 0; i < kRotaryDim / 2; ++i) {
    const std::size_t j = i + kRotaryDim / 2;
    const CosSin angle = exact_cos_sin(turns.turns[i], position);
    if (y[i] != static_cast<float>(double{x[i]} * angle.cos - double{x[j]} * angle.sin)) {
      return false;
    }
    if (y[j] != static_cast<float>(double{x[j]} * angle.cos + double{x[i]} * angle.sin)) {
      return false;
    }
  }
  for (std::size_t i = kRotaryDim; i < kHeadDim; ++i) {
    if (y[i] != x[i]) return false;
  }
  return true;
}

/// Dense q and k, out of place.
struct Buffers {
  Buffers(std::int64_t batch, std::int64_t seq, int q_heads, int kv_heads)
      : q(counting(static_cast<std::size_t>(batch * seq * q_heads) * kHeadDim, 1.0f)),
        k(counting(static_cast<std::size_t>(batch * seq * kv_heads) * kHeadDim, 5.0f)),
        q_out(q.size(), -9.0f),
        k_out(k.size(), -9.0f) {
    args.batch = batch;
    args.seq = seq;
    args.q = dense_bshd(q.data(), seq, q_heads, kHeadDim);
    args.k = dense_bshd(k.data(), seq, kv_heads, kHeadDim);
    args.q_out = dense_bshd(q_out.data(), seq, q_heads, kHeadDim);
    args.k_out = dense_bshd(k_out.data(), seq, kv_heads, kHeadDim);
  }
  Floats q, k, q_out, k_out;
  RopeArgs args;
};

}  // namespace

TEST_CASE("every head of q and of k is rotated to its token's position, however many each has") {
  for (const auto& [q_heads, kv_heads] :
       {std::pair{1, 1}, std::pair{17, 1}, std::pair{8, 2}, std::pair{2, 5}}) {
    Buffers buffers(2, 3, q_heads, kv_heads);
    buffers.args.offset = -1;
    apply_reference(spec_of(q_heads, kv_heads), frequencies(), buffers.args);
    for (std::int64_t b = 0; b < 2; ++b) {
      for (std::int64_t s = 0; s < 3; ++s) {
        for (int h = 0; h < q_heads; ++h) {
          CHECK(is_rotated(buffers.args.q, buffers.args.q_out, b, s, h, s - 1));
        }
        for (int h = 0; h < kv_heads; ++h) {
          CHECK(is_rotated(buffers.args.k, buffers.args.k_out, b, s, h, s - 1));
        }
      }
    }
  }
}

TEST_CASE("out of place, the inputs stay as they were") {
  Buffers buffers(2, 3, 4, 2);
  const Floats q = buffers.q, k = buffers.k;
  apply_reference(spec_of(4, 2), frequencies(), buffers.args);
  CHECK(buffers.q == q);
  CHECK(buffers.k == k);
}

TEST_CASE("in place gives the same bits as out of place, for every dtype and layout") {
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
      RopeSpec spec = spec_of(3, 2);
      spec.dtype = dtype;
      spec.layout = layout;
      const std::size_t element = size_of(dtype);
      std::vector<unsigned char> q(5 * 3 * kHeadDim * element), k(5 * 2 * kHeadDim * element);
      for (std::size_t i = 0; i < q.size() / element; ++i) {
        store_element(dtype, &q[i * element], 0.37 * static_cast<double>(i) - 5);
      }
      for (std::size_t i = 0; i < k.size() / element; ++i) {
        store_element(dtype, &k[i * element], 3 - 0.91 * static_cast<double>(i));
      }
      std::vector<unsigned char> q_out(q.size()), k_out(k.size());
      RopeArgs args;
      args.seq = 5;
      args.offset = 100;
      args.q = dense_bshd(q.data(), 5, 3, kHeadDim);
      args.k = dense_bshd(k.data(), 5, 2, kHeadDim);
      args.q_out = dense_bshd(q_out.data(), 5, 3, kHeadDim);
      args.k_out = dense_bshd(k_out.data(), 5, 2, kHeadDim);
      apply_reference(spec, frequencies(), args);
      CHECK(q_out != q);
      args.q_out = args.q;
      args.k_out = args.k;
      apply_reference(spec, frequencies(), args);
      CHECK(q == q_out);
      CHECK(k == k_out);
    }
  }
}

TEST_CASE("an absent q or k is left alone") {
  Buffers only_q(1, 3, 2, 2);
  only_q.args.k = only_q.args.k_out = Tensor{};
  apply_reference(spec_of(2, 2), frequencies(), only_q.args);
  CHECK(is_rotated(only_q.args.q, only_q.args.q_out, 0, 2, 1, 2));
  CHECK(only_q.k_out == Floats(only_q.k.size(), -9.0f));
  Buffers only_k(1, 3, 2, 2);
  only_k.args.q = only_k.args.q_out = Tensor{};
  apply_reference(spec_of(2, 2), frequencies(), only_k.args);
  CHECK(is_rotated(only_k.args.k, only_k.args.k_out, 0, 2, 1, 2));
  CHECK(only_k.q_out == Floats(only_k.q.size(), -9.0f));
}

TEST_CASE("every order of dimensions, reversed, spaced and packed ones are the same") {
  constexpr std::int64_t kBatch = 2, kSeq = 3, kHeads = 4;
  constexpr std::int64_t kRow = kHeadDim;
  const std::int64_t padded = 7 * kRow;  // a token of a packed buffer of 7 heads
  Floats in = counting(1000, 1.0f), out(1000, -9.0f);
  const std::vector<Tensor> views = {
      dense_bshd(nullptr, kSeq, kHeads, kRow),
      dense_bhsd(nullptr, kSeq, kHeads, kRow),
      dense_sbhd(nullptr, kBatch, kHeads, kRow),
      {nullptr, kSeq * padded, padded, kRow, 1},
      {nullptr, -kSeq * padded, -padded, kRow + 1, 1},
      {nullptr, 2 * kSeq * kHeads * kRow, 2 * kHeads * kRow, 2 * kRow, 2},
      {nullptr, kSeq * kHeads * kRow, kHeads * kRow, kRow, -1},
      {nullptr, kSeq * kHeads * kRow, kHeads * kRow, 1, kHeads},
      {nullptr, kSeq * kHeads * kRow, 1, kSeq * kRow, kSeq},
  };
  for (const Tensor& from : views) {
    for (const Tensor& to : views) {
      std::fill(out.begin(), out.end(), -9.0f);
      RopeArgs args;
      args.batch = kBatch;
      args.seq = kSeq;
      args.offset = 11;
      args.q = from;
      args.q.data = in.data() + 400;
      args.q_out = to;
      args.q_out.data = out.data() + 400;
      apply_reference(spec_of(kHeads, 1), frequencies(), args);
      for (std::int64_t b = 0; b < kBatch; ++b) {
        for (std::int64_t s = 0; s < kSeq; ++s) {
          for (std::int64_t h = 0; h < kHeads; ++h) {
            CHECK(is_rotated(args.q, args.q_out, b, s, h, 11 + s));
          }
        }
      }
      const auto written = std::count_if(out.begin(), out.end(), [](float x) { return x != -9; });
      CHECK(written == kBatch * kSeq * kHeads * kRow);
    }
  }
}

TEST_CASE("offsets per sequence, 32 or 64 bits wide, may be negative") {
  const Indices narrow = {5, -7};
  const LongIndices wide = {std::int64_t{1} << 40, -7};
  RopeSpec spec = spec_of(1, 1);
  spec.positions = PositionMode::sequence_offsets;
  Buffers buffers(2, 3, 1, 1);
  buffers.args.positions = narrow.data();
  apply_reference(spec, frequencies(), buffers.args);
  CHECK(is_rotated(buffers.args.q, buffers.args.q_out, 0, 2, 0, 7));
  CHECK(is_rotated(buffers.args.k, buffers.args.k_out, 1, 1, 0, -6));
  spec.index_type = IndexType::int64;
  buffers.args.positions = wide.data();
  apply_reference(spec, frequencies(), buffers.args);
  CHECK(is_rotated(buffers.args.q, buffers.args.q_out, 0, 2, 0, (std::int64_t{1} << 40) + 2));
  CHECK(is_rotated(buffers.args.k, buffers.args.k_out, 1, 1, 0, -6));
}

TEST_CASE("an id per token follows the given stride: dense, shared by all, or padded") {
  const LongIndices ids = {4, 0, -3, 100, 200, 300, 400};
  RopeSpec spec = spec_of(1, 1);
  spec.positions = PositionMode::token_ids;
  spec.index_type = IndexType::int64;
  Buffers buffers(2, 3, 1, 1);
  buffers.args.positions = ids.data();
  const auto second_row_starts_at = [&](std::int64_t id) {
    apply_reference(spec, frequencies(), buffers.args);
    return is_rotated(buffers.args.q, buffers.args.q_out, 0, 2, 0, -3) &&
           is_rotated(buffers.args.q, buffers.args.q_out, 1, 0, 0, id);
  };
  CHECK(second_row_starts_at(100));
  buffers.args.position_stride_batch = 0;
  CHECK(second_row_starts_at(4));
  buffers.args.position_stride_batch = 4;
  CHECK(second_row_starts_at(200));
}

TEST_CASE("ragged sequences restart, empty ones are passed over, and padding is not touched") {
  // Tokens 0 and 1 come before the first sequence, 9 and 10 after the last.
  const Indices narrow = {2, 5, 5, 9}, first = {0, 1000, -2};
  const LongIndices wide(narrow.begin(), narrow.end()), wide_first(first.begin(), first.end());
  for (const bool is_wide : {false, true}) {
    RopeSpec spec = spec_of(2, 1);
    spec.positions = PositionMode::ragged;
    spec.index_type = is_wide ? IndexType::int64 : IndexType::int32;
    Buffers buffers(1, 11, 2, 1);
    buffers.args.batch = 3;
    buffers.args.q.stride_batch = buffers.args.q_out.stride_batch = 12345;  // ignored
    buffers.args.cu_seqlens = is_wide ? static_cast<const void*>(wide.data()) : narrow.data();
    const auto check = [&](std::int64_t last_first) {
      for (const std::int64_t token : {0, 1, 9, 10}) {
        CHECK(row(buffers.args.q_out, 0, token, 1)[0] == -9.0f);
        CHECK(row(buffers.args.k_out, 0, token, 0)[kHeadDim - 1] == -9.0f);
      }
      for (std::int64_t token = 2; token < 9; ++token) {
        const std::int64_t position = token < 5 ? token - 2 : last_first + token - 5;
        CHECK(is_rotated(buffers.args.q, buffers.args.q_out, 0, token, 1, position));
        CHECK(is_rotated(buffers.args.k, buffers.args.k_out, 0, token, 0, position));
      }
    };
    apply_reference(spec, frequencies(), buffers.args);
    check(0);
    buffers.args.positions = is_wide ? static_cast<const void*>(wide_first.data()) : first.data();
    apply_reference(spec, frequencies(), buffers.args);
    check(-2);
  }
}

TEST_CASE("sequence ends past the tokens, or before the first, rotate no token that is not there") {
  RopeSpec spec = spec_of(1, 1);
  spec.positions = PositionMode::ragged;
  const Indices bounds = {-2, 1, 100};
  RopeArgs args;
  args.batch = 2;
  args.seq = 4;
  args.cu_seqlens = bounds.data();
  const std::vector<TokenPosition> tokens = token_positions(spec, args);
  REQUIRE(tokens.size() == 4);
  CHECK(tokens[0].position == 2);
  CHECK(tokens[1].position == 0);
  CHECK(tokens[3].seq == 3);
  CHECK(tokens[3].position == 2);
}

TEST_CASE("positions wrap at the ends of 64 bits, as the phase does") {
  RopeArgs args;
  args.seq = 2;
  args.offset = INT64_MAX;
  const std::vector<TokenPosition> tokens = token_positions(spec_of(1, 1), args);
  CHECK(tokens[0].position == INT64_MAX);
  CHECK(tokens[1].position == INT64_MIN);
}

TEST_CASE("the three usual tables give the same bits, and the numbers that stand in them") {
  constexpr int kRows = 5, kPairs = kRotaryDim / 2;
  Floats cos(kRows * kPairs), sin(kRows * kPairs), joined(kRows * kRotaryDim);
  Floats doubled_cos(kRows * kRotaryDim), doubled_sin(kRows * kRotaryDim);
  for (std::size_t p = 0; p < kRows; ++p) {
    for (std::size_t i = 0; i < kPairs; ++i) {
      const float c = 0.5f + 0.125f * static_cast<float>(p), s = 2.0f + static_cast<float>(i);
      cos[p * kPairs + i] = joined[p * kRotaryDim + i] = c;
      sin[p * kPairs + i] = joined[p * kRotaryDim + kPairs + i] = s;
      doubled_cos[p * kRotaryDim + i] = doubled_cos[p * kRotaryDim + kPairs + i] = c;
      doubled_sin[p * kRotaryDim + i] = doubled_sin[p * kRotaryDim + kPairs + i] = s;
    }
  }
  RopeSpec spec = spec_of(1, 1);
  spec.angles = AngleSource::table;
  Buffers buffers(1, 3, 1, 1);
  buffers.args.offset = 2;
  const auto with = [&](const CosSinTable& table) {
    buffers.args.table = table;
    apply_reference(spec, Frequencies{}, buffers.args);
    return buffers.q_out;
  };
  const Floats separate = with({cos.data(), sin.data(), kRows, kPairs, kPairs});
  CHECK(with({joined.data(), joined.data() + kPairs, kRows, kPairs, kRotaryDim}) == separate);
  CHECK(with({doubled_cos.data(), doubled_sin.data(), kRows, kRotaryDim, kRotaryDim}) == separate);
  // Token 1 is at position 3: cosine 0.875; pair 2 (elements 2 and 5): sine 4.
  const float x = buffers.q[kHeadDim + 2], y = buffers.q[kHeadDim + 5];
  CHECK(separate[kHeadDim + 2] == static_cast<float>(double{x} * 0.875 - double{y} * 4));
  CHECK(separate[kHeadDim + 5] == static_cast<float>(double{y} * 0.875 + double{x} * 4));
}

TEST_CASE("a position outside the table makes the rotary part NaN, and nothing else") {
  Floats cos(3, 1.0f), sin(3, 0.0f);
  RopeSpec spec = spec_of(1, 1);
  spec.angles = AngleSource::table;
  Buffers buffers(1, 3, 1, 1);
  buffers.args.offset = -1;
  buffers.args.table = {cos.data(), sin.data(), 1, 3, 3};
  apply_reference(spec, Frequencies{}, buffers.args);
  for (const std::size_t token : {0u, 1u, 2u}) {
    for (std::size_t i = 0; i < kHeadDim; ++i) {
      const float x = buffers.q[token * kHeadDim + i], y = buffers.q_out[token * kHeadDim + i];
      const bool lost = token != 1 && i < kRotaryDim;
      CHECK((lost ? std::isnan(y) : y == x));
    }
  }
}

TEST_CASE("a factor and a direction apply to a table as to exact angles") {
  Floats cos = {0.5f, 0.5f, 0.5f}, sin = {0.25f, 0.25f, 0.25f};
  RopeSpec spec = spec_of(1, 1);
  spec.angles = AngleSource::table;
  Frequencies factor;
  factor.attention_factor = 4;
  const CosSinTable table{cos.data(), sin.data(), 1, 3, 3};
  CHECK(pair_cos_sin(spec, factor, table, 0, 1).cos == 2.0);
  CHECK(pair_cos_sin(spec, factor, table, 0, 1).sin == 1.0);
  spec.direction = Direction::inverse;
  CHECK(pair_cos_sin(spec, factor, table, 0, 1).cos == 2.0);
  CHECK(pair_cos_sin(spec, factor, table, 0, 1).sin == -1.0);
}

TEST_CASE("zero tokens are rotated without a look at any pointer") {
  RopeArgs args;
  CHECK(refusal([&] { apply_reference(spec_of(1, 1), frequencies(), args); }) == "accepted");
}

}  // namespace ropejit
