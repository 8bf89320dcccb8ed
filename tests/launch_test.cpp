#include "src/launch.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "ropejit/error.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

RopeSpec spec_of(int head_dim, int rotary_dim, int q_heads, int kv_heads) {
  RopeSpec spec;
  spec.head_dim = head_dim;
  spec.rotary_dim = rotary_dim;
  spec.q_heads = q_heads;
  spec.kv_heads = kv_heads;
  return spec;
}

/// An address that nothing may read: planning is arithmetic.
void* at(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

/// Dense q and k, out of place, far from each other.
RopeArgs dense(const RopeSpec& spec, std::int64_t batch, std::int64_t seq) {
  RopeArgs args;
  args.batch = batch;
  args.seq = seq;
  args.q = dense_bshd(at(1ull << 40), seq, spec.q_heads, spec.head_dim);
  args.q_out = dense_bshd(at(2ull << 40), seq, spec.q_heads, spec.head_dim);
  args.k = dense_bshd(at(3ull << 40), seq, spec.kv_heads, spec.head_dim);
  args.k_out = dense_bshd(at(4ull << 40), seq, spec.kv_heads, spec.head_dim);
  return args;
}

/// As for a call that check_args accepted, with tensors that reach not far.
CallFacts facts_of(const RopeSpec& spec, const RopeArgs& args) {
  return {(spec.positions == PositionMode::ragged ? 1 : args.batch) * args.seq, 4096};
}

Launch plan(const RopeSpec& spec, const RopeArgs& args, const LaunchConfig& config = {}) {
  return plan_launch(spec, launch_shape(spec, config), args, facts_of(spec, args), nullptr, 1.0f);
}

/// As a kernel divides: 32-bit arithmetic, and the formula that params.cuh gives.
std::uint32_t divide(std::uint32_t n, const kernel::Divisor& by) {
  const auto high = static_cast<std::uint32_t>((std::uint64_t{n} * by.multiplier) >> 32);
  return (n + high) >> by.shift;
}

constexpr std::uint32_t kMostNarrow = (1u << 31) - 1;

std::vector<std::uint32_t> divisors() {
  std::vector<std::uint32_t> all;
  for (std::uint32_t d = 1; d <= 5000; ++d) all.push_back(d);
  for (int bit = 12; bit < 31; ++bit) {
    for (const std::uint32_t around : {0u, 1u, 2u}) all.push_back((1u << bit) - 1 + around);
  }
  for (const std::uint32_t around : {0u, 1u, 2u, 3u}) all.push_back(kMostNarrow - around);
  std::mt19937 random(7);
  std::uniform_int_distribution<std::uint32_t> any(1, kMostNarrow);
  for (int i = 0; i < 5000; ++i) all.push_back(any(random));
  return all;
}

}  // namespace

TEST_CASE("division by multiplier and shift is exact") {
  std::uint64_t compared = 0;
  for (const std::uint32_t d : divisors()) {
    const kernel::Divisor by = divisor(d);
    std::vector<std::uint32_t> numerators = {0, 1, kMostNarrow - 1, kMostNarrow};
    const std::uint32_t most = kMostNarrow / d;
    for (const std::uint32_t quotient : {1u, 2u, 3u, most / 3, most / 2, most - 1, most}) {
      const std::uint64_t multiple = std::uint64_t{quotient} * d;
      for (const std::int64_t around : {-1, 0, 1}) {
        const std::int64_t n = static_cast<std::int64_t>(multiple) + around;
        if (n >= 0 && n <= kMostNarrow) numerators.push_back(static_cast<std::uint32_t>(n));
      }
    }
    for (const std::uint32_t n : numerators) {
      ++compared;
      if (divide(n, by) != n / d) FAIL(n, " / ", d, " gave ", divide(n, by));
    }
  }
  CHECK(compared > 200000);
}

TEST_CASE("grid and block of a whole-head rotation are as computed by hand") {
  // Halves of 64 elements in accesses of 8: a head is 8 slots of one thread each, 128 in a block.
  const RopeSpec spec = spec_of(128, 128, 32, 8);
  const Launch launch = plan(spec, dense(spec, 2, 5));
  CHECK(launch.params.q.slots == 10 * 32 * 8);
  CHECK(launch.params.k.slots == 10 * 8 * 8);
  CHECK(launch.params.q_blocks == 20);
  CHECK(launch.grid == 20 + 5);
  CHECK(launch.block == 128);
}

TEST_CASE("two lanes share a slot of an exchange") {
  const RopeSpec spec = spec_of(128, 128, 32, 8);
  const Launch launch = plan(spec, dense(spec, 2, 5), {128, 16, Pairing::exchange, 1});
  CHECK(launch.params.q.slots == 10 * 32 * 8);
  CHECK(launch.params.q_blocks == 40);
  CHECK(launch.grid == 40 + 10);
}

TEST_CASE("heads that share their angles share their slots, a last group may be smaller") {
  const RopeSpec spec = spec_of(128, 128, 17, 1);
  const Launch launch = plan(spec, dense(spec, 1, 10), {128, 16, Pairing::registers, 4});
  CHECK(launch.params.q.slots == 10 * 5 * 8);
  CHECK(launch.params.k.slots == 10 * 1 * 8);
  CHECK(launch.grid == 4 + 1);
}

TEST_CASE("a tensor that is rotated in place needs no slots for what passes through") {
  // Halves of 10 elements in accesses of 2: 5 slots; the rest, 60 elements in fours: 15 slots.
  const RopeSpec spec = spec_of(80, 20, 71, 1);
  RopeArgs args = dense(spec, 1, 3);
  args.k_out = args.k;
  const Launch launch = plan(spec, args);
  CHECK(launch.params.q.slots == 213 * 20);
  CHECK(launch.params.q_blocks == 34);
  CHECK(launch.params.k.slots == 3 * 5);
  CHECK(launch.grid == 35);

  args.q_out = args.q;
  args.k_out = dense(spec, 1, 3).k_out;
  const Launch swapped = plan(spec, args);
  CHECK(swapped.params.q.slots == 213 * 5);
  CHECK(swapped.params.q_blocks == 9);
  CHECK(swapped.params.k.slots == 3 * 20);
}

TEST_CASE("with a table q and k take turns, and every block of either is there once") {
  RopeSpec spec = spec_of(128, 128, 32, 8);
  spec.angles = AngleSource::table;
  for (const std::int64_t tokens : {1, 400, 409, 410, 1000, 8192}) {
    CAPTURE(tokens);
    const Launch launch = plan(spec, dense(spec, 1, tokens));
    const kernel::RopeParams& p = launch.params;
    const unsigned grid = launch.grid;
    const std::int64_t q_blocks = tokens * 2, k_blocks = (tokens + 1) / 2;
    const unsigned chunk = p.q_blocks + p.k_blocks;
    CHECK(chunk <= 1026);  // rounded up twice
    CHECK(grid % chunk == 0);
    CHECK(divide(grid - 1, p.chunk_divisor) == grid / chunk - 1);
    CHECK(divide(grid, p.chunk_divisor) == grid / chunk);
    // Not less than what there is, and not another chunk more.
    CHECK(grid / chunk * p.q_blocks >= q_blocks);
    CHECK(grid / chunk * p.k_blocks >= k_blocks);
    CHECK((grid / chunk) * (p.q_blocks - 1) < q_blocks);
    CHECK((grid / chunk) * (p.k_blocks - 1) < k_blocks);
  }
  RopeArgs q_only = dense(spec, 1, 8192);
  q_only.k = q_only.k_out = {};
  CHECK(plan(spec, q_only).grid == 16384);
  spec.angles = AngleSource::exact;
  CHECK(plan(spec, dense(spec, 1, 8192)).params.q_blocks == 16384);
}

TEST_CASE("the block has the config's threads, whatever a row needs") {
  RopeSpec spec = spec_of(1024, 2, 3, 1);
  spec.alignment = 2;
  const Launch launch = plan(spec, dense(spec, 1, 2), {.block_threads = 96});
  CHECK(launch.block == 96);
  CHECK(launch.params.q.slots == 6 * 1023);
  CHECK(launch.grid == 64 + 22);
}

TEST_CASE("an absent tensor has no slots and no blocks") {
  const RopeSpec spec = spec_of(128, 128, 32, 8);
  RopeArgs args = dense(spec, 1, 10);
  args.k = args.k_out = Tensor{};
  const Launch q_only = plan(spec, args);
  CHECK(q_only.params.q_blocks == 20);
  CHECK(q_only.params.k.slots == 0);
  CHECK(q_only.grid == 20);
  args = dense(spec, 1, 10);
  args.q = args.q_out = Tensor{};
  const Launch k_only = plan(spec, args);
  CHECK(k_only.params.q_blocks == 0);
  CHECK(k_only.params.q.slots == 0);
  CHECK(k_only.grid == 5);
  CHECK(k_only.block == 128);
}

TEST_CASE("indices are wide from 2^31 slots of either tensor on") {
  const std::int64_t limit = std::int64_t{1} << 31;
  RopeSpec spec = spec_of(4, 2, 1, 1);
  spec.alignment = 2;  // 1 slot rotates, 2 copy: 3 a row
  const auto wide = [&](std::int64_t tokens, int q_heads, int kv_heads) {
    spec.q_heads = q_heads;
    spec.kv_heads = kv_heads;
    return plan(spec, dense(spec, 1, tokens)).params.wide;
  };
  CHECK(wide((limit - 1) / 3, 1, 1) == 0);
  CHECK(wide((limit - 1) / 3 + 1, 1, 1) == 1);
  CHECK(wide((limit - 1) / 6, 1, 2) == 0);
  CHECK(wide((limit - 1) / 6 + 1, 1, 2) == 1);
  CHECK(wide((limit - 1) / 6 + 1, 2, 1) == 1);
}

TEST_CASE("indices are wide once a tensor reaches over 2^31 elements") {
  RopeSpec spec = spec_of(64, 64, 4, 2);
  const auto wide = [&](std::int64_t bytes) {
    return plan_launch(spec, launch_shape(spec, {}), dense(spec, 3, 5), {15, bytes}, nullptr, 1.0f)
        .params.wide;
  };
  CHECK(wide((std::int64_t{1} << 32) - 2) == 0);
  CHECK(wide(std::int64_t{1} << 32) == 1);
  spec.dtype = Dtype::float32;
  CHECK(wide((std::int64_t{1} << 33) - 4) == 0);
  CHECK(wide(std::int64_t{1} << 33) == 1);
}

TEST_CASE("a grid beyond 2^31 - 1 blocks is refused, for one tensor and for both together") {
  RopeSpec spec = spec_of(64, 64, 1, 1);  // 4 slots a row, 32 rows a block
  const std::int64_t most_rows = ((std::int64_t{1} << 31) - 1) * 32;
  RopeArgs args = dense(spec, 1, most_rows);
  args.k = args.k_out = Tensor{};
  CHECK(plan(spec, args).grid == 2147483647u);
  args.seq = most_rows + 1;
  CHECK(refusal([&] { plan(spec, args); }) ==
        "unsupported: 68719476705 tokens need 2147483648 blocks; a grid has at most 2^31 - 1");
  args = dense(spec, 1, std::int64_t{32} << 30);
  CHECK(refusal([&] { plan(spec, args); }) ==
        "unsupported: 2147483648 blocks; a grid has at most 2^31 - 1");
}

TEST_CASE("every argument of the call reaches its parameter") {
  RopeSpec spec = spec_of(64, 64, 4, 2);
  spec.positions = PositionMode::token_ids;
  spec.angles = AngleSource::table;
  RopeArgs args;
  args.batch = 3;
  args.seq = 7;
  args.q = {at(0x1000), 11, 12, 13, 14};
  args.q_out = {at(0x2000), 21, 22, 23, 24};
  args.k = {at(0x3000), 31, 32, 33, 34};
  args.k_out = {at(0x4000), -41, -42, -43, -44};
  args.offset = -5;
  args.positions = at(0x5000);
  args.position_stride_batch = 77;
  args.cu_seqlens = at(0x6000);
  args.table = {static_cast<float*>(at(0x7000)), static_cast<float*>(at(0x8000)), 99, 32, 64};
  args.dependent_launch = args.early_positions = true;
  const std::uint64_t turns = 0;
  const Launch launch =
      plan_launch(spec, launch_shape(spec, {}), args, facts_of(spec, args), &turns, 1.5f);
  const kernel::RopeParams& p = launch.params;
  CHECK(p.q.in == at(0x1000));
  CHECK(p.q.out == at(0x2000));
  CHECK(p.q.in_batch == 11);
  CHECK(p.q.in_seq == 12);
  CHECK(p.q.in_head == 13);
  CHECK(p.q.out_batch == 21);
  CHECK(p.q.out_seq == 22);
  CHECK(p.q.out_head == 23);
  CHECK(p.q.slots == 84 * 4);
  CHECK(p.k.in == at(0x3000));
  CHECK(p.k.out == at(0x4000));
  CHECK(p.k.in_batch == 31);
  CHECK(p.k.in_seq == 32);
  CHECK(p.k.in_head == 33);
  CHECK(p.k.out_batch == -41);
  CHECK(p.k.out_seq == -42);
  CHECK(p.k.out_head == -43);
  CHECK(p.q_dim.in == 14);
  CHECK(p.q_dim.out == 24);
  CHECK(p.k_dim.in == 34);
  CHECK(p.k_dim.out == -44);
  CHECK(p.k.slots == 42 * 4);
  CHECK(static_cast<const void*>(p.turns) == &turns);
  CHECK(p.cos == at(0x7000));
  CHECK(p.sin == at(0x8000));
  CHECK(p.table_rows == 99);
  CHECK(p.table_stride == 64);
  CHECK(p.positions == at(0x5000));
  CHECK(p.cu_seqlens == at(0x6000));
  CHECK(p.position_stride == 77);
  CHECK(p.offset == -5);
  CHECK(p.batch == 3);
  CHECK(p.seq == 7);
  CHECK(p.attention_factor == 1.5f);
  CHECK(p.dependent_launch == 1);
  CHECK(p.early_positions == 1);
  args.dependent_launch = false;
  CHECK(plan(spec, args).params.dependent_launch == 0);
  args.early_positions = false;
  CHECK(plan(spec, args).params.early_positions == 0);
}

TEST_CASE("the ids of a sequence follow those of the one before, unless a stride is given") {
  RopeSpec spec = spec_of(64, 64, 4, 2);
  spec.positions = PositionMode::token_ids;
  RopeArgs args = dense(spec, 3, 7);
  CHECK(plan(spec, args).params.position_stride == 7);
  args.position_stride_batch = 0;
  CHECK(plan(spec, args).params.position_stride == 0);
}

TEST_CASE("ragged sequences share the tokens: the batch does not multiply them") {
  RopeSpec spec = spec_of(128, 128, 32, 8);
  spec.positions = PositionMode::ragged;
  const Launch launch = plan(spec, dense(spec, 1000, 10));
  CHECK(launch.params.q.slots == 320 * 8);
  CHECK(launch.params.batch == 1000);
  CHECK(launch.grid == 25);
}

TEST_CASE(
    "a call is aligned when every row of both arrays of its table is, as far as floats can be") {
  RopeSpec spec = spec_of(128, 64, 4, 2);
  spec.angles = AngleSource::table;
  std::int64_t rows = 9;
  const auto aligned = [&](int alignment, std::uintptr_t cos, std::uintptr_t sin,
                           std::int64_t row_stride) {
    RopeArgs args = dense(spec, 1, 7);
    args.table = {static_cast<float*>(at(cos)), static_cast<float*>(at(sin)), rows, 32, row_stride};
    return aligned_to(spec, address_bits(spec, args), alignment);
  };
  for (const int alignment : {16, 32}) {
    CHECK(aligned(alignment, 0x1000, 0x2000, 32));
    CHECK(aligned(alignment, 0x1010, 0x2000, 36));
    CHECK(!aligned(alignment, 0x1008, 0x2000, 32));
    CHECK(!aligned(alignment, 0x1000, 0x2008, 32));
    CHECK(!aligned(alignment, 0x1000, 0x2000, 34));
  }
  CHECK(aligned(8, 0x1008, 0x2000, 34));
  CHECK(!aligned(8, 0x1004, 0x2000, 34));
  CHECK(aligned(2, 0x1004, 0x2000, 33));
  rows = 1;
  CHECK(aligned(16, 0x1000, 0x2000, 33));
  // Half a row of 92 are 184 bytes, and sines may begin there.
  spec.rotary_dim = 92;
  rows = 9;
  CHECK(aligned(16, 0x1000, 0x10b8, 92));
}

TEST_CASE("a call is aligned when every address and stride that it uses is") {
  const RopeSpec spec = spec_of(64, 64, 4, 2);
  const RopeArgs base = dense(spec, 2, 7);
  CHECK(aligned_to(spec, address_bits(spec, base), 16));
  for (Tensor RopeArgs::*tensor :
       {&RopeArgs::q, &RopeArgs::q_out, &RopeArgs::k, &RopeArgs::k_out}) {
    for (std::int64_t Tensor::*stride :
         {&Tensor::stride_batch, &Tensor::stride_seq, &Tensor::stride_head}) {
      RopeArgs args = base;
      (args.*tensor).*stride += 4;
      CHECK(!aligned_to(spec, address_bits(spec, args), 16));
      CHECK(aligned_to(spec, address_bits(spec, args), 8));
      (args.*tensor).*stride = -((args.*tensor).*stride) - 3;
      CHECK(!aligned_to(spec, address_bits(spec, args), 4));
      CHECK(aligned_to(spec, address_bits(spec, args), 2));
    }
    for (const std::int64_t stride :
         {0, -1, 2, 8}) {  // elements that lie apart are read one by one
      RopeArgs args = base;
      (args.*tensor).stride_dim = stride;
      CHECK(!aligned_to(spec, address_bits(spec, args), 4));
      CHECK(aligned_to(spec, address_bits(spec, args), 2));
    }
    RopeArgs args = base;
    (args.*tensor).data = static_cast<char*>((args.*tensor).data) + 4;
    CHECK(!aligned_to(spec, address_bits(spec, args), 8));
    CHECK(aligned_to(spec, address_bits(spec, args), 4));
  }
}

TEST_CASE("a stride along a dimension of one element does not matter to alignment") {
  RopeSpec spec = spec_of(64, 64, 1, 1);
  RopeArgs args = dense(spec, 1, 1);
  args.q.stride_batch = args.q.stride_seq = args.q.stride_head = 3;
  CHECK(aligned_to(spec, address_bits(spec, args), 16));
  args.batch = 2;
  CHECK(!aligned_to(spec, address_bits(spec, args), 16));
  spec.positions = PositionMode::ragged;  // has no batch dimension
  CHECK(aligned_to(spec, address_bits(spec, args), 16));
  args.seq = 2;
  CHECK(!aligned_to(spec, address_bits(spec, args), 16));
}

TEST_CASE("an absent tensor does not matter to alignment") {
  const RopeSpec spec = spec_of(64, 64, 4, 2);
  RopeArgs args = dense(spec, 2, 7);
  args.k = args.k_out = Tensor{nullptr, 1, 1, 1, 1};
  CHECK(aligned_to(spec, address_bits(spec, args), 16));
}

}  // namespace ropejit
