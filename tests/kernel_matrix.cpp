#include "tests/kernel_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "src/heuristic.h"
#include "src/source.h"
#include "tests/covering_rows.h"
#include "tools/case_positions.h"
#include "tools/verify.h"

namespace ropejit {
namespace {

constexpr std::array<std::int64_t, 13> kPositions = {
    0,  1,     2047,    131071,   1000000,   10000000,   2147483647,
    -1, -2047, -131071, -1000000, -10000000, -2147483647};

constexpr std::array kHeadDims = {2, 64, 72, 80, 92, 96, 112, 128, 160, 192, 256, 576};

struct HeadCounts {
  int q, kv;
};
constexpr std::array<HeadCounts, 5> kHeads = {{{1, 1}, {17, 1}, {32, 8}, {71, 1}, {28, 4}}};

struct Indices {
  PositionMode mode;
  IndexType type;
};
constexpr std::array<Indices, 7> kIndices = {{
    {PositionMode::offset, IndexType::int32},
    {PositionMode::sequence_offsets, IndexType::int32},
    {PositionMode::sequence_offsets, IndexType::int64},
    {PositionMode::token_ids, IndexType::int32},
    {PositionMode::token_ids, IndexType::int64},
    {PositionMode::ragged, IndexType::int32},
    {PositionMode::ragged, IndexType::int64},
}};

struct Placements {
  Placement in, out;
};
constexpr std::array<Placements, 8> kPlacements = {{
    {Placement::bshd, Placement::bshd},
    {Placement::bhsd, Placement::bhsd},
    {Placement::sbhd, Placement::sbhd},
    {Placement::packed, Placement::packed},
    {Placement::padded, Placement::padded},
    {Placement::reversed, Placement::bhsd},
    {Placement::packed, Placement::bshd},
    {Placement::broadcast, Placement::padded},
}};

struct Tokens {
  std::int64_t batch, seq;
};
constexpr std::array<Tokens, 6> kTokens = {{{1, 1}, {1, 7}, {2, 5}, {3, 4}, {1, 13}, {9, 1}}};

/// Every way to compute a spec that is not just a number of threads, but for 32-byte accesses of
/// pairs in registers.
constexpr std::array<LaunchConfig, 10> kConfigs = {{
    {128, 16, Pairing::registers, 1},
    {96, 8, Pairing::registers, 2, true},
    {32, 4, Pairing::registers, 4, true},
    {192, 16, Pairing::exchange, 1, true},
    {64, 16, Pairing::exchange, 2},
    {128, 8, Pairing::exchange, 4},
    {512, 4, Pairing::exchange, 1},
    {160, 8, Pairing::registers, 1},
    {128, 32, Pairing::exchange, 2},
    {256, 16, Pairing::registers, 4},
}};

/// The dimensions of the design, by index into a row.
enum Dimension : std::size_t {
  kLayout,
  kDtype,
  kHeadDim,
  kRotary,
  kHeadCounts,
  kIndex,
  kAlignment,
  kDirection,
  kAngles,
  kTable,
  kPlacement,
  kInPlace,
  kTokenCounts,
  kPosition,
  kFactor,
  kConfig,
  kDimensions
};
constexpr std::array<int, kDimensions> kLevels = {2, 3, 12, 5, 5, 7,  5, 2,
                                                  2, 4, 8,  2, 6, 13, 2, kConfigs.size()};

/// All of the head, nearly all, half, a quarter, and one pair; even, and at least 2.
int rotary_dim(int head_dim, int level) {
  const std::array<int, 5> dims = {head_dim, head_dim - 2, head_dim / 4 * 2, head_dim / 8 * 2, 2};
  return std::max(dims[static_cast<std::size_t>(level)], 2);
}

RopeSpec spec_of(const std::vector<int>& row) {
  const auto at = [&](Dimension d) { return static_cast<std::size_t>(row[d]); };
  RopeSpec spec;
  spec.layout = static_cast<Layout>(row[kLayout]);
  spec.dtype = static_cast<Dtype>(row[kDtype]);
  spec.head_dim = kHeadDims[at(kHeadDim)];
  spec.rotary_dim = rotary_dim(spec.head_dim, row[kRotary]);
  spec.q_heads = kHeads[at(kHeadCounts)].q;
  spec.kv_heads = kHeads[at(kHeadCounts)].kv;
  spec.positions = kIndices[at(kIndex)].mode;
  spec.index_type = kIndices[at(kIndex)].type;
  spec.alignment = std::max(2 << row[kAlignment], static_cast<int>(size_of(spec.dtype)));
  spec.direction = static_cast<Direction>(row[kDirection]);
  spec.angles = static_cast<AngleSource>(row[kAngles]);
  return spec;
}

Frequencies frequencies_for(const RopeSpec& spec, float factor) {
  Frequencies frequencies = default_frequencies(spec.rotary(), 500000.0L);
  frequencies.attention_factor = factor;
  return frequencies;
}

VerifyCase case_of(const std::vector<int>& row) {
  VerifyCase test;
  test.spec = spec_of(row);
  test.frequencies = frequencies_for(test.spec, row[kFactor] == 0 ? 1.0f : 1.3465736f);
  test.config = kConfigs[static_cast<std::size_t>(row[kConfig])];
  const Tokens& tokens = kTokens[static_cast<std::size_t>(row[kTokenCounts])];
  test.batch = tokens.batch;
  test.seq = tokens.seq;
  const Placements& placements = kPlacements[static_cast<std::size_t>(row[kPlacement])];
  test.in = placements.in;
  test.out = placements.out;
  test.in_place = row[kInPlace] == 1 && test.in != Placement::broadcast;
  test.padding = test.spec.alignment / static_cast<int>(size_of(test.spec.dtype));
  test.table_style = static_cast<TableStyle>(row[kTable]);
  if (test.spec.positions == PositionMode::token_ids && row[kTokenCounts] % 2 == 0) {
    test.position_stride_batch = row[kInPlace] == 1 ? 0 : test.seq + 3;
  }
  set_positions(test, kPositions[static_cast<std::size_t>(row[kPosition])]);
  return test;
}

/// The same call off its alignment, with q or k alone at times.
VerifyCase misaligned(VerifyCase test, std::size_t turn) {
  test.base_offset = 1;
  test.has_q = turn % 5 != 1;
  test.has_k = turn % 5 != 3;
  return test;
}

std::vector<VerifyCase> corner_cases() {
  std::vector<VerifyCase> cases;
  for (const int rotary : {2, 1022, 1024}) {
    for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
      for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
        VerifyCase test;
        test.spec.head_dim = 1024;
        test.spec.rotary_dim = rotary;
        test.spec.dtype = dtype;
        test.spec.layout = layout;
        test.spec.q_heads = 3;
        test.spec.kv_heads = 1;
        test.config = kConfigs[static_cast<std::size_t>(rotary) % kConfigs.size()];
        test.frequencies = frequencies_for(test.spec, 1.0f);
        test.seq = 3;
        set_positions(test, 2047);
        cases.push_back(test);
        cases.push_back(misaligned(test, 0));
      }
    }
  }
  return cases;
}

/// 32-byte accesses, which only a spec that promises as much gets.
std::vector<VerifyCase> widest_cases() {
  std::vector<VerifyCase> cases;
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
      for (const Pairing pairing : {Pairing::registers, Pairing::exchange}) {
        VerifyCase test;
        test.spec.head_dim = 128;
        test.spec.dtype = dtype;
        test.spec.layout = layout;
        test.spec.q_heads = 5;
        test.spec.kv_heads = 1;
        test.spec.alignment = 32;
        test.config = {64, 32, pairing, 2};
        test.frequencies = frequencies_for(test.spec, 1.0f);
        test.seq = 3;
        set_positions(test, 131071);
        cases.push_back(test);
      }
    }
  }
  return cases;
}

/// Heads whose elements lie apart, in every way that verify knows, for inputs, outputs and both.
std::vector<VerifyCase> apart_cases() {
  using enum Placement;
  struct Way {
    Placement in, out;
    bool in_place = false;
  };
  std::vector<VerifyCase> cases;
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
      for (const int rotary : {20, 24}) {
        for (const Way& way : {Way{spaced, flipped},
                               {flipped, transposed},
                               {bshd, spaced},
                               {transposed, bhsd},
                               {flipped, flipped, true},
                               {transposed, transposed, true}}) {
          VerifyCase test;
          test.spec.head_dim = 24;
          test.spec.rotary_dim = rotary;
          test.spec.dtype = dtype;
          test.spec.layout = layout;
          test.spec.q_heads = 6;
          test.spec.kv_heads = 3;
          test.config = kConfigs.front();
          test.frequencies = frequencies_for(test.spec, 1.0f);
          test.batch = 2;
          test.seq = 7;
          test.in = way.in;
          test.out = way.out;
          test.in_place = way.in_place;
          set_positions(test, 2047);
          cases.push_back(test);
        }
      }
    }
  }
  return cases;
}

/// Enough blocks for several chunks of q's and k's, which tables have.
std::vector<VerifyCase> chunk_cases() {
  std::vector<VerifyCase> cases;
  for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
    VerifyCase test;
    test.spec.head_dim = 64;
    test.spec.layout = layout;
    test.spec.q_heads = 28;
    test.spec.kv_heads = 4;
    test.spec.angles = AngleSource::table;
    test.config = {32, 4, Pairing::registers, 2};
    test.frequencies = frequencies_for(test.spec, 1.0f);
    test.batch = 2;
    test.seq = 211;
    set_positions(test, 1);
    cases.push_back(test);
  }
  return cases;
}

std::vector<VerifyCase> make_matrix() {
  std::vector<std::vector<std::size_t>> groups = {
      {kLayout, kDtype, kHeadDim}, {kLayout, kHeadDim, kRotary}, {kLayout, kDtype, kConfig}};
  for (auto& pair : all_pairs(kDimensions)) groups.push_back(std::move(pair));
  std::vector<VerifyCase> cases;
  for (const std::vector<int>& row : covering_rows(kLevels, groups)) {
    cases.push_back(case_of(row));
    cases.push_back(misaligned(cases.back(), cases.size()));
  }
  for (VerifyCase& test : corner_cases()) cases.push_back(std::move(test));
  for (VerifyCase& test : widest_cases()) cases.push_back(std::move(test));
  for (VerifyCase& test : apart_cases()) cases.push_back(std::move(test));
  for (VerifyCase& test : chunk_cases()) cases.push_back(std::move(test));
  return cases;
}

/// Calls `work(i)` for every i below `count`, on `threads` threads.
void in_parallel(std::size_t count, int threads, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  const auto loop = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> pool;
  for (int i = 1; i < threads; ++i) pool.emplace_back(loop);
  loop();
}

}  // namespace

const std::vector<VerifyCase>& kernel_matrix() {
  static const std::vector<VerifyCase> matrix = make_matrix();
  return matrix;
}

std::vector<std::string> failures_of(std::span<const VerifyCase> cases, Executor& executor,
                                     int threads) {
  std::mutex mutex;
  std::vector<std::string> failures;
  in_parallel(cases.size(), threads, [&](std::size_t i) {
    std::string problem;
    try {
      problem = run_case(cases[i], executor).message;
    } catch (const std::exception& error) {
      problem = error.what();
    }
    if (problem.empty()) return;
    const std::lock_guard lock(mutex);
    failures.push_back(
        fmt::format("{}: {}: {}", describe(cases[i].spec), describe(cases[i]), problem));
  });
  return failures;
}

std::span<const std::int64_t> accuracy_positions() { return kPositions; }

std::string accuracy_table(Executor& executor, std::vector<std::string>& failures) {
  std::string table;
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    VerifyCase test;
    test.spec.head_dim = test.spec.rotary_dim = 256;
    test.spec.q_heads = 8;
    test.spec.kv_heads = 2;
    test.spec.dtype = dtype;
    test.frequencies = default_frequencies(256, 10000.0L);
    test.seq = 24;
    for (const std::int64_t position : kPositions) {
      set_positions(test, position);
      const CaseResult result = run_case(test, executor);
      table += fmt::format("{:8} {:11}  {:.2e} of the norm, {:.2f} of the bound\n", name(dtype),
                           position, result.worst_error, result.worst_fraction);
      if (!result.passed) failures.push_back(result.name + ": " + result.message);
    }
  }
  return table;
}

std::vector<MatrixKernel> matrix_kernels() {
  std::vector<MatrixKernel> kernels;
  for (const VerifyCase& test : kernel_matrix()) {
    const std::vector<RopeSpec> specs = kernel_specs(test.spec);
    const std::int64_t tokens = tensor_batch(test) * test.seq;
    for (MatrixKernel kernel :
         {MatrixKernel{specs.front(), test.config.value()},
          MatrixKernel{specs.back(), heuristic_config(specs.back(), tokens)}}) {
      kernel.config = effective_config(kernel.spec, kernel.config);
      kernel.config.block_threads = 128;  // of the launch, not of the kernel
      if (std::find(kernels.begin(), kernels.end(), kernel) == kernels.end()) {
        kernels.push_back(std::move(kernel));
      }
    }
  }
  return kernels;
}

}  // namespace ropejit
