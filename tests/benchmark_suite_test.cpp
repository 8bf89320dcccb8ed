#include "tools/benchmark_suite.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "src/source.h"
#include "tools/workload.h"

namespace ropejit {
namespace {

const BenchmarkGroup& group(const std::string& name) {
  static const std::vector<BenchmarkGroup> suite = benchmark_suite();
  const auto found = std::find_if(suite.begin(), suite.end(),
                                  [&](const BenchmarkGroup& each) { return each.name == name; });
  REQUIRE(found != suite.end());
  return *found;
}

/// The different values of one field.
template <class Field>
auto values(const BenchmarkGroup& of, Field field) {
  std::set<decltype(field(of.workloads.front()))> all;
  for (const Workload& workload : of.workloads) all.insert(field(workload));
  return all;
}

std::int64_t tokens(const Workload& workload) { return workload.tokens; }
int head_dim(const Workload& workload) { return workload.spec.head_dim; }
auto heads(const Workload& workload) {
  return std::pair(workload.spec.q_heads, workload.spec.kv_heads);
}

}  // namespace

TEST_CASE("every workload is valid, aligned and measured once") {
  std::set<std::string> descriptions;
  std::size_t count = 0;
  for (const BenchmarkGroup& each : benchmark_suite()) {
    CHECK(each.target);
    CHECK(each.target->worst <= each.target->mean);
    for (const Workload& workload : each.workloads) {
      CHECK_NOTHROW(validate(workload));
      CHECK(workload.spec.alignment == 16);
      descriptions.insert(describe(workload));
      ++count;
    }
  }
  // Llama-3-8B's shape at 8192 tokens is not in a second group.
  CHECK(descriptions.size() == count);
  CHECK(count > 576 + 100);
  CHECK(count < 900);
}

TEST_CASE("the grid is the whole product") {
  const BenchmarkGroup& grid = group("grid");
  CHECK(grid.workloads.size() == 576);
  CHECK(values(grid, tokens) == std::set<std::int64_t>{8192, 32768});
  CHECK(values(grid, head_dim) == std::set{64, 128, 256});
  CHECK(values(grid, heads) == std::set<std::pair<int, int>>{{32, 8}, {32, 32}, {64, 8}, {28, 4}});
  const auto others = values(grid, [](const Workload& workload) {
    return std::tuple(workload.spec.dtype, workload.spec.layout, workload.spec.angles,
                      workload.in_place);
  });
  CHECK(others.size() == 3 * 2 * 2 * 2);
}

TEST_CASE("the awkward groups hold what is awkward, at 8192 tokens") {
  for (const char* name : {"head sizes", "partial rotation", "head counts", "strides"}) {
    CHECK(values(group(name), tokens) == std::set<std::int64_t>{8192});
    const auto types = values(group(name), [](const Workload& workload) {
      return std::pair(workload.spec.dtype, workload.spec.layout);
    });
    CHECK(types.size() == 6);
  }
  CHECK(values(group("head sizes"), head_dim) == std::set{72, 80, 92, 96, 112, 160, 192});
  CHECK(values(group("head counts"), heads) == std::set<std::pair<int, int>>{{17, 1}, {71, 1}});
  CHECK(values(group("strides"), [](const Workload& w) { return w.strides; }) ==
        std::set{Strides::bhsd, Strides::padded});
  for (const Workload& workload : group("partial rotation").workloads) {
    CHECK(workload.spec.rotary() < workload.spec.head_dim);
    CHECK(workload.frequencies.turns.size() ==
          static_cast<std::size_t>(workload.spec.rotary() / 2));
  }
}

TEST_CASE("fewer tokens are measured with Llama-3-8B's shape in every dtype and layout") {
  CHECK(values(group("512 and 2048 tokens"), tokens) == std::set<std::int64_t>{512, 2048});
  CHECK(values(group("decode"), tokens) ==
        std::set<std::int64_t>{1, 2, 4, 8, 16, 32, 64, 128, 256});
  CHECK(group("512 and 2048 tokens").workloads.size() == 12);
  CHECK(group("decode").workloads.size() == 54);
  CHECK(values(group("decode"), heads) == std::set<std::pair<int, int>>{{32, 8}});
  CHECK(values(group("decode"), head_dim) == std::set{128});
}

}  // namespace ropejit
