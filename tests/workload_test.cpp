#include "tools/workload.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <set>
#include <string>
#include <vector>

#include "ropejit/frequencies.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

/// Llama-3-8B's shape in bfloat16.
Workload llama(std::int64_t tokens) {
  Workload workload;
  workload.spec.head_dim = 128;
  workload.spec.q_heads = 32;
  workload.spec.kv_heads = 8;
  workload.frequencies = default_frequencies(128, 500000.0L);
  workload.tokens = tokens;
  return workload;
}

constexpr std::int64_t kMiB = 1 << 20;

}  // namespace

TEST_CASE("bytes are those of q and k, read once and written once") {
  Workload workload = llama(10);
  CHECK(bytes_moved(workload) == 10 * (32 + 8) * 128 * 2 * 2);
  workload.in_place = true;
  CHECK(bytes_moved(workload) == 10 * (32 + 8) * 128 * 2 * 2);
  workload.spec.dtype = Dtype::float32;
  CHECK(bytes_moved(workload) == 10 * (32 + 8) * 128 * 4 * 2);
}

TEST_CASE("of a table, the bytes of every token's cosines and sines are read once") {
  Workload workload = llama(10);
  workload.spec.angles = AngleSource::table;
  CHECK(bytes_moved(workload) == 10 * (32 + 8) * 128 * 2 * 2 + 10 * 2 * 64 * 4);
}

TEST_CASE("what does not rotate moves out of place only") {
  Workload workload = llama(10);
  workload.spec.rotary_dim = 32;
  CHECK(bytes_moved(workload) == 10 * 40 * 128 * 2 * 2);
  workload.in_place = true;
  CHECK(bytes_moved(workload) == 10 * 40 * 32 * 2 * 2);
}

TEST_CASE("a small call keeps its one set in the cache, a large one finds nothing there") {
  const std::int64_t l2 = 48 * kMiB;
  CHECK(ring_sets(1, l2) == 1);
  CHECK(ring_sets(6 * kMiB, l2) == 1);
  CHECK(ring_sets(6 * kMiB + 1, l2) == 24);
  CHECK(ring_sets(48 * kMiB, l2) == 3);
  CHECK(ring_sets(144 * kMiB - 1, l2) == 2);
  CHECK(ring_sets(144 * kMiB, l2) == 1);
  CHECK(ring_sets(1000 * kMiB, l2) == 1);
  for (std::int64_t bytes = 6 * kMiB + 1; bytes < 200 * kMiB; bytes += 7 * kMiB) {
    CHECK(static_cast<std::int64_t>(ring_sets(bytes, l2)) * bytes >= 3 * l2);
  }
}

TEST_CASE("the token ids of a prefill count up, those of a decoding step are far apart") {
  Workload workload = llama(9000);
  workload.spec.positions = PositionMode::token_ids;
  std::vector<std::int64_t> ids = positions_of(workload);
  REQUIRE(ids.size() == 9000);
  CHECK(ids.front() == 0);
  CHECK(ids.back() == 8999);
  CHECK(position_count(workload) == 9000);

  workload.tokens = kMostDecodeTokens;
  ids = positions_of(workload);
  CHECK(std::set<std::int64_t>(ids.begin(), ids.end()).size() == 256);
  CHECK(*std::max_element(ids.begin(), ids.end()) < position_count(workload));
  CHECK(std::abs(ids[1] - ids[0]) > 1000);
}

TEST_CASE("ragged tokens are cut into sequences without a rest") {
  Workload workload = llama(2000);
  workload.spec.positions = PositionMode::ragged;
  CHECK(sequences_of(workload) == 4);
  CHECK(cu_seqlens_of(workload) == std::vector<std::int64_t>{0, 500, 1000, 1500, 2000});
  CHECK(positions_of(workload) == std::vector<std::int64_t>{0, 0, 0, 0});
  workload.tokens = 3;
  CHECK(cu_seqlens_of(workload) == std::vector<std::int64_t>{0, 1, 2, 3});
  CHECK(positions_of(workload).size() == 3);
}

TEST_CASE("an offset needs no positions, a sequence's offset is one") {
  Workload workload = llama(600);
  CHECK(positions_of(workload).empty());
  CHECK(cu_seqlens_of(workload).empty());
  workload.spec.positions = PositionMode::sequence_offsets;
  CHECK(positions_of(workload) == std::vector<std::int64_t>{0});
}

TEST_CASE("the table holds the cosines, then the sines, of the workload's frequencies") {
  const Workload workload = llama(1);
  const std::vector<float> table = table_of(workload);
  const auto rows = static_cast<std::size_t>(position_count(workload));
  REQUIRE(table.size() == 2 * rows * 64);
  for (const std::size_t row : {std::size_t{0}, std::size_t{1}, std::size_t{77}, rows - 1}) {
    for (const std::size_t pair : {0, 1, 63}) {
      const double exponent = -2.0 * static_cast<double>(pair) / 128;
      const double angle = static_cast<double>(row) * std::pow(500000.0, exponent);
      CHECK(table[row * 64 + pair] == doctest::Approx(std::cos(angle)).epsilon(2e-4));
      CHECK(table[(rows + row) * 64 + pair] == doctest::Approx(std::sin(angle)).epsilon(2e-4));
    }
  }
}

TEST_CASE("a workload that cannot be is refused by field") {
  Workload workload = llama(0);
  CHECK(refusal([&] { validate(workload); }) == "invalid_argument: tokens = 0: must be at least 1");
  workload = llama(1);
  workload.spec.angles = AngleSource::table;
  workload.frequencies.turns.clear();
  CHECK(refusal([&] { validate(workload); }).find("frequencies.turns is empty") !=
        std::string::npos);
  workload = llama(1);
  workload.spec.head_dim = 3;
  CHECK(refusal([&] { validate(workload); }).find("head_dim = 3") != std::string::npos);
}

TEST_CASE("a workload says what it is in one line") {
  Workload workload = llama(1);
  CHECK(describe(workload) ==
        "d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16, 1 token");
  workload.tokens = 20;
  workload.in_place = true;
  workload.strides = Strides::bhsd;
  CHECK(describe(workload).ends_with(", 20 tokens, bhsd, in place"));
}

}  // namespace ropejit
