#include "tests/kernel_matrix.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "src/source.h"
#include "tests/covering_rows.h"
#include "tools/verify.h"
#include "tools/verify_check.h"

namespace ropejit {
namespace {

int threads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

/// One for all tests: every kernel is compiled once.
HostExecutor& host() {
  static HostExecutor executor;
  return executor;
}

void check_none(const std::vector<std::string>& failures) {
  for (const std::string& failure : failures) FAIL_CHECK(failure);
}

TEST_CASE("a covering design has every combination of every group") {
  const std::vector<int> levels = {2, 5, 3, 4, 7};
  std::vector<std::vector<std::size_t>> groups = all_pairs(levels.size());
  CHECK(groups.size() == 10);
  groups.push_back({1, 2, 4});
  const auto rows = covering_rows(levels, groups);
  for (const auto& group : groups) {
    std::set<std::vector<int>> seen;
    std::size_t all = 1;
    for (const std::size_t d : group) all *= static_cast<std::size_t>(levels[d]);
    for (const auto& row : rows) {
      std::vector<int> values;
      for (const std::size_t d : group) values.push_back(row[d]);
      seen.insert(values);
    }
    CHECK(seen.size() == all);
  }
  CHECK(rows.size() < 2 * 5 * 3 * 7);  // the least there can be is 105, for the group of three
}

TEST_CASE("the matrix holds every value that kernels are specialised on") {
  std::map<std::string, std::set<int>> seen;
  for (const auto& [spec, config] : matrix_kernels()) {
    seen["head_dim"].insert(spec.head_dim);
    seen["heads"].insert(spec.q_heads * 1000 + spec.kv_heads);
    seen["dtype"].insert(static_cast<int>(spec.dtype));
    seen["layout"].insert(static_cast<int>(spec.layout));
    seen["positions"].insert(static_cast<int>(spec.positions) * 2 +
                             static_cast<int>(spec.index_type));
    seen["angles"].insert(static_cast<int>(spec.angles));
    seen["direction"].insert(static_cast<int>(spec.direction));
    const Geometry shape = geometry(spec, config);
    seen["rotary_bytes"].insert(shape.rotary_bytes);
    seen["pass_bytes"].insert(shape.pass_bytes);
    seen["pairing"].insert(static_cast<int>(shape.pairing));
    seen["heads_per_thread"].insert(shape.heads_per_thread);
  }
  CHECK(seen["head_dim"] ==
        std::set{2, 24, 64, 72, 80, 92, 96, 112, 128, 160, 192, 256, 576, 1024});
  CHECK(seen["heads"] == std::set{1001, 17001, 32008, 71001, 28004, 3001, 5001, 6003});
  CHECK(seen["dtype"].size() == 3);
  CHECK(seen["layout"].size() == 2);
  CHECK(seen["positions"].size() == 7);
  CHECK(seen["angles"].size() == 2);
  CHECK(seen["direction"].size() == 2);
  CHECK(seen["rotary_bytes"] == std::set{2, 4, 8, 16, 32});
  CHECK(seen["pass_bytes"] == std::set{2, 4, 8, 16});
  CHECK(seen["pairing"].size() == 2);
  CHECK(seen["heads_per_thread"] == std::set{1, 2, 4});
  MESSAGE(matrix_kernels().size() << " kernels, " << kernel_matrix().size() << " calls");
}

TEST_CASE("every kernel of the matrix, executed on the host, gives the exact result") {
  check_none(failures_of(kernel_matrix(), host(), threads()));
}

TEST_CASE("the CPU implementation gives the exact result for every call of the matrix") {
  ReferenceExecutor reference;
  check_none(failures_of(kernel_matrix(), reference, threads()));
}

TEST_CASE("every case of `ropejit verify` passes on the host, in every position mode") {
  RopeSpec spec;
  spec.head_dim = 80;
  spec.rotary_dim = 32;
  spec.q_heads = 6;
  spec.kv_heads = 2;
  const Frequencies frequencies = default_frequencies(32, 10000.0L);
  for (const AngleSource angles : {AngleSource::exact, AngleSource::table}) {
    for (const PositionMode positions : {PositionMode::offset, PositionMode::sequence_offsets,
                                         PositionMode::token_ids, PositionMode::ragged}) {
      spec.angles = angles;
      spec.positions = positions;
      const std::vector<VerifyCase> cases = cases_for(spec, frequencies);
      CHECK(cases.size() == 19);
      check_none(failures_of(cases, host(), threads()));
    }
  }
}

/// The first case of each position mode and layout, and the same with outputs whose elements lie
/// apart.
std::vector<VerifyCase> one_of_each_mode() {
  std::map<std::pair<PositionMode, Layout>, VerifyCase> found;
  for (const VerifyCase& test : kernel_matrix()) {
    if (test.batch * test.seq > 1) found.try_emplace({test.spec.positions, test.spec.layout}, test);
  }
  std::vector<VerifyCase> cases;
  for (auto& [key, test] : found) {
    cases.push_back(test);
    test.in_place = false;
    test.out = Placement::transposed;
    cases.push_back(test);
  }
  return cases;
}

TEST_CASE("64-bit indices give the same bits as 32-bit indices") {
  HostExecutor::Options options;
  options.force_wide = true;
  HostExecutor wide(options);
  const std::vector<VerifyCase> cases = one_of_each_mode();
  REQUIRE(cases.size() == 16);
  for (const VerifyCase& test : cases) {
    CaseMemory narrow_memory = make_memory(test), wide_memory = make_memory(test);
    host().execute(test, args_of(test, narrow_memory), narrow_memory.blocks);
    wide.execute(test, args_of(test, wide_memory), wide_memory.blocks);
    CAPTURE(describe(test.spec));
    CHECK(compare_outputs(test, narrow_memory, test, wide_memory) == "");
  }
  check_none(failures_of(cases, wide, threads()));
}

TEST_CASE("at every promised position the error is within its bound") {
  std::vector<std::string> failures;
  const std::string table = accuracy_table(host(), failures);
  check_none(failures);
  MESSAGE("worst error on the host\n" << table);
}

}  // namespace
}  // namespace ropejit
