#include "tools/verify.h"

#include <fmt/format.h>

#include <algorithm>

#include "ropejit/error.h"
#include "tools/case_positions.h"
#include "tools/verify_check.h"

namespace ropejit {
namespace {

/// The memory as the call leaves it.
CaseMemory carry_out(const VerifyCase& test, const CaseMemory& before, Executor& executor) {
  CaseMemory memory = before;
  const RopeArgs args = args_of(test, memory);
  executor.execute(test, args, memory.blocks);
  return memory;
}

Check check_case(const VerifyCase& test, Executor& executor) {
  const CaseMemory before = make_memory(test);
  const CaseMemory after = carry_out(test, before, executor);
  Check check = check_outputs(test, before, after);
  if (!check.passed() || !test.in_place) return check;
  VerifyCase out_of_place = test;
  out_of_place.in_place = false;
  out_of_place.out = test.in;
  const CaseMemory other = carry_out(out_of_place, make_memory(out_of_place), executor);
  check.problem = compare_outputs(test, after, out_of_place, other);
  if (!check.passed()) check.problem += " as out of place";
  return check;
}

/// What differs from case to case. Defaults: one sequence, bshd, out of place, q and k.
struct Recipe {
  std::int64_t batch = 1;
  std::int64_t seq = 7;
  std::int64_t start = 0;
  Placement in = Placement::bshd;
  Placement out = Placement::bshd;
  bool in_place = false;
  int base_offset = 0;
  bool narrow_padding = false;  ///< by one element, which breaks the promise of alignment
  bool has_q = true;
  bool has_k = true;
  TableStyle table = TableStyle::separate;
  int position_padding = -1;  ///< elements between rows of ids; -1: the default stride
  bool special_values = false;
};

const std::vector<Recipe>& recipes() {
  using enum Placement;
  constexpr std::int64_t kMost = 2147483647, kMillion = 1000000;
  static const std::vector<Recipe> all = {
      {.batch = 2, .seq = 0},
      {.seq = 1},
      {.seq = 1, .start = 2047, .in_place = true, .table = TableStyle::joined},
      {.start = 1, .in_place = true, .table = TableStyle::duplicated},
      {.batch = 2, .seq = 33, .start = 131071, .out = bhsd, .position_padding = 3},
      {.seq = 129, .start = kMillion},
      {.batch = 3, .start = 10 * kMillion, .in = bhsd, .in_place = true},
      {.seq = 33, .start = kMost, .in = packed, .in_place = true},
      {.batch = 2, .start = -1, .in = packed, .table = TableStyle::joined},
      {.batch = 2, .start = -2047, .in = sbhd, .out = sbhd, .position_padding = 0},
      {.seq = 33, .start = -131071, .in = padded, .in_place = true},
      {.start = -kMillion, .in = padded, .out = padded, .narrow_padding = true},
      {.start = -10 * kMillion, .in_place = true, .base_offset = 1, .table = TableStyle::unaligned},
      {.batch = 2, .start = -kMost, .in = reversed, .out = bhsd, .base_offset = 1},
      {.batch = 2,
       .start = kMost << 30,
       .in = broadcast,
       .has_k = false,
       .table = TableStyle::unaligned},
      {.batch = 2,
       .start = 5,
       .in = sbhd,
       .in_place = true,
       .has_q = false,
       .special_values = true},
      {.batch = 2, .start = 2047, .in = transposed, .in_place = true},
      {.start = 131071, .in = spaced, .out = flipped, .base_offset = 1},
      {.batch = 2,
       .start = kMillion,
       .in = flipped,
       .out = transposed,
       .table = TableStyle::joined},
  };
  return all;
}

/// Tokens that a case may have: the oracle and a kernel on the host take tens of nanoseconds per
/// element.
std::int64_t most_tokens(const RopeSpec& spec) {
  constexpr std::int64_t kElements = 1'000'000;
  const std::int64_t per_token =
      std::int64_t{spec.head_dim} * (std::int64_t{spec.q_heads} + spec.kv_heads);
  return std::max<std::int64_t>(kElements / per_token, 2);
}

VerifyCase case_of(const RopeSpec& spec, const Frequencies& frequencies, const Recipe& recipe) {
  VerifyCase test;
  test.spec = spec;
  test.frequencies = frequencies;
  test.batch = recipe.batch;
  test.seq = std::min(recipe.seq, std::max<std::int64_t>(most_tokens(spec) / recipe.batch, 1));
  test.in = recipe.in;
  test.out = recipe.out;
  test.in_place = recipe.in_place;
  test.base_offset = recipe.base_offset;
  test.padding = recipe.narrow_padding
                     ? 1
                     : std::max(1, spec.alignment / static_cast<int>(size_of(spec.dtype)));
  test.has_q = recipe.has_q;
  test.has_k = recipe.has_k;
  test.table_style = recipe.table;
  test.special_values = recipe.special_values;
  if (recipe.position_padding == 0) test.position_stride_batch = 0;
  if (recipe.position_padding > 0) test.position_stride_batch = test.seq + recipe.position_padding;
  set_positions(test, recipe.start);
  return test;
}

}  // namespace

CaseResult run_case(const VerifyCase& test, Executor& executor) {
  CaseResult result;
  result.name = describe(test);
  try {
    const Check check = check_case(test, executor);
    result.passed = check.passed();
    result.worst_fraction = check.worst_fraction;
    result.worst_error = check.worst_error;
    result.message = check.problem;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::driver && error.code() != ErrorCode::invalid_argument) throw;
    result.message = error.what();
  }
  return result;
}

std::vector<VerifyCase> cases_for(const RopeSpec& spec, const Frequencies& frequencies,
                                  const std::optional<LaunchConfig>& config) {
  std::vector<VerifyCase> cases;
  for (const Recipe& recipe : recipes()) {
    cases.push_back(case_of(spec, frequencies, recipe));
    cases.back().config = config;
  }
  return cases;
}

std::vector<VerifyCase> cases_for(const RopeSpec& spec, const Frequencies& frequencies,
                                  Executor& executor) {
  std::vector<VerifyCase> cases;
  for (const LaunchConfig& config : executor.configs(spec)) {
    for (VerifyCase& test : cases_for(spec, frequencies, config)) {
      const bool misaligned = test.base_offset != 0 || test.padding == 1 || is_apart(test.in) ||
                              (!test.in_place && is_apart(test.out));
      if (!misaligned || cases.size() < recipes().size()) cases.push_back(std::move(test));
    }
  }
  return cases.empty() ? cases_for(spec, frequencies) : cases;
}

VerifyReport verify(std::span<const SpecFile> specs, Executor& executor,
                    const std::function<void(const RopeSpec&, const CaseResult&)>& on_case) {
  VerifyReport report;
  for (const SpecFile& file : specs) {
    for (const VerifyCase& test : cases_for(file.spec, file.frequencies, executor)) {
      const CaseResult result = run_case(test, executor);
      (result.passed ? report.passed : report.failed) += 1;
      report.worst_fraction = std::max(report.worst_fraction, result.worst_fraction);
      report.worst_error = std::max(report.worst_error, result.worst_error);
      if (on_case) on_case(file.spec, result);
    }
  }
  return report;
}

}  // namespace ropejit
