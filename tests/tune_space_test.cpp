#include "tools/tune_space.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "src/build.h"
#include "src/launch.h"
#include "src/source.h"

namespace ropejit {
namespace {

/// An H200, but for its capability.
DeviceClass device(int major) { return {major, 0, 132, 62914560}; }

RopeSpec llama() {
  RopeSpec spec;
  spec.head_dim = 128;
  spec.q_heads = 32;
  spec.kv_heads = 8;
  return spec;
}

RopeSpec gptj() {
  RopeSpec spec = llama();
  spec.head_dim = 256;
  spec.rotary_dim = 64;
  spec.q_heads = spec.kv_heads = 16;
  spec.layout = Layout::interleaved;
  return spec;
}

/// What a config makes of a spec: the kernel's source and the launch.
std::string made_of(const RopeSpec& spec, const LaunchConfig& config) {
  const RopeSpec kernel_spec = tuned_kernel_spec(spec);
  return fmt::format("{} {}", render(kernel_spec, config).text, config.block_threads);
}

bool has(const std::vector<LaunchConfig>& space, const LaunchConfig& config) {
  return std::find(space.begin(), space.end(), config) != space.end();
}

/// The names of the constraints that a config breaks for `spec`.
std::set<std::string> broken(const RopeSpec& spec, std::int64_t tokens,
                             const DeviceClass& device_class, const LaunchConfig& config) {
  std::set<std::string> names;
  for (const TuneConstraint& rule : tune_constraints()) {
    if (!rule.holds({tuned_kernel_spec(spec), tokens, device_class, config})) {
      names.emplace(rule.name);
    }
  }
  return names;
}

bool in_product(const LaunchConfig& config) {
  return std::count(std::begin(kBlockThreads), std::end(kBlockThreads), config.block_threads) == 1;
}

}  // namespace

TEST_CASE("no kernel is tried twice, and none of the product is left out but for a reason") {
  for (const RopeSpec& spec : {llama(), gptj()}) {
    for (const int major : {8, 9, 10}) {
      const std::vector<LaunchConfig> space = tune_space(spec, 4096, device(major));
      std::set<std::string> made;
      for (const LaunchConfig& config : space) made.insert(made_of(spec, config));
      CHECK(made.size() == space.size());
      std::size_t valid = 0;
      for (const int threads : kBlockThreads) {
        for (const int bytes : kAccessBytes) {
          for (const Pairing pairing : kPairings) {
            for (const int heads : kHeadsPerThread) {
              for (const bool streaming : kStreamingStores) {
                const LaunchConfig config{threads, bytes, pairing, heads, streaming};
                const bool holds = broken(spec, 4096, device(major), config).empty();
                CHECK(holds == has(space, config));
                valid += holds ? 1 : 0;
              }
            }
          }
        }
      }
      const bool default_is_extra =
          !broken(spec, 4096, device(major), default_config(spec, 4096)).empty() ||
          !in_product(default_config(spec, 4096));
      CHECK(space.size() == valid + (default_is_extra ? 1 : 0));
    }
  }
}

TEST_CASE("the space of a common spec at many tokens") {
  // And the default, whose blocks have 192 threads.
  CHECK(tune_space(llama(), 4096, device(9)).size() == 4 * 3 * 2 * 3 + 1);
  CHECK(tune_space(llama(), 8192, device(9)).size() == 4 * 3 * 2 * 3 * 2 + 1);
  CHECK(tune_space(gptj(), 4096, device(9)).size() == 4 * 3 * 1 * 3 * 2);  // it is one of them
}

TEST_CASE("every constraint excludes a config by itself") {
  const auto alone = [](const std::string& name) { return std::set<std::string>{name}; };
  CHECK(broken(gptj(), 4096, device(9), {128, 16, Pairing::exchange, 1})
            .contains("halves_to_exchange"));
  RopeSpec narrow = llama();
  narrow.alignment = 8;
  CHECK(broken(narrow, 4096, device(9), {128, 16, Pairing::registers, 1}) == alone("canonical"));
  CHECK(broken(narrow, 4096, device(9), {128, 8, Pairing::registers, 1}).empty());
  CHECK(broken(llama(), 4096, device(9), {128, 32, Pairing::registers, 1})
            .contains("one_instruction_per_access"));
  CHECK_FALSE(broken(llama(), 4096, device(10), {128, 32, Pairing::registers, 1})
                  .contains("one_instruction_per_access"));
  CHECK(broken(llama(), 4096, device(9), {128, 16, Pairing::registers, 1, true}) ==
        alone("results_beyond_cache"));  // 40 MB of results, 60 of cache
  CHECK(broken(llama(), 8192, device(9), {128, 16, Pairing::registers, 1, true}).empty());
  CHECK(broken(llama(), 1, device(9), {512, 16, Pairing::registers, 4}) ==
        alone("work_for_every_thread"));
  CHECK(
      broken(llama(), 1, device(9), {192, 16, Pairing::registers, 1}).empty());  // q has 256 slots
  CHECK(broken(llama(), 4096, device(9), {512, 16, Pairing::registers, 4}).empty());
}

TEST_CASE("every constraint has a name and a reason of its own") {
  std::set<std::string_view> names;
  std::set<std::string_view> reasons;
  for (const TuneConstraint& rule : tune_constraints()) {
    CHECK_FALSE(rule.name.empty());
    CHECK(rule.reason.size() > 20);
    names.insert(rule.name);
    reasons.insert(rule.reason);
  }
  CHECK(names.size() == tune_constraints().size());
  CHECK(reasons.size() == tune_constraints().size());
}

TEST_CASE("with few tokens no block could be a step smaller and still hold all the work") {
  const RopeSpec kernel_spec = tuned_kernel_spec(llama());
  for (const LaunchConfig& config : tune_space(llama(), 1, device(9))) {
    if (config == default_config(llama(), 1) || config.block_threads == 64) continue;
    LaunchConfig smaller = config;
    smaller.block_threads = *std::prev(
        std::lower_bound(std::begin(kBlockThreads), std::end(kBlockThreads), config.block_threads));
    const LaunchShape shape = launch_shape(kernel_spec, smaller);
    CHECK(shape.block_slots < shape.q_groups * shape.slots);
  }
}

TEST_CASE("the default is tried, even where the constraints exclude it") {
  RopeSpec tiny = llama();
  tiny.head_dim = 16;
  tiny.q_heads = tiny.kv_heads = 1;
  for (const std::int64_t tokens : {1, 300, 100000}) {
    for (const RopeSpec& spec : {llama(), gptj(), tiny}) {
      const std::vector<LaunchConfig> space = tune_space(spec, tokens, device(9));
      CHECK(std::count(space.begin(), space.end(), default_config(spec, tokens)) == 1);
    }
  }
  CHECK_FALSE(broken(tiny, 1, device(9), default_config(tiny, 1)).empty());
  RopeSpec narrow = llama();
  narrow.alignment = 2;
  CHECK(default_config(narrow, 100000).access_bytes == 4);  // the least that a config can name
}

TEST_CASE("an incumbent is tried, whatever it is, and once") {
  const auto with = [](const LaunchConfig& incumbent) {
    return tune_space(llama(), 4096, device(9), incumbent);
  };
  const std::vector<LaunchConfig> space = tune_space(llama(), 4096, device(9));
  const LaunchConfig outside{320, 16, Pairing::registers, 1};
  REQUIRE(!has(space, outside));
  CHECK(with(outside).back() == outside);
  CHECK(with(outside).size() == space.size() + 1);
  CHECK(with(space.front()) == space);
}

TEST_CASE("neighbours are one step away in one field") {
  const std::vector<LaunchConfig> space = tune_space(llama(), 8192, device(9));
  const std::vector<LaunchConfig> inner = neighbours({128, 8, Pairing::registers, 2}, space);
  const std::vector<LaunchConfig> expected = {
      {64, 8, Pairing::registers, 2},  {256, 8, Pairing::registers, 2},
      {128, 4, Pairing::registers, 2}, {128, 16, Pairing::registers, 2},
      {128, 8, Pairing::exchange, 2},  {128, 8, Pairing::registers, 1},
      {128, 8, Pairing::registers, 4}, {128, 8, Pairing::registers, 2, true},
  };
  CHECK(inner == expected);
  const std::vector<LaunchConfig> corner = neighbours({64, 4, Pairing::registers, 1, true}, space);
  const std::vector<LaunchConfig> at_corner = {
      {128, 4, Pairing::registers, 1, true}, {64, 8, Pairing::registers, 1, true},
      {64, 4, Pairing::exchange, 1, true},   {64, 4, Pairing::registers, 2, true},
      {64, 4, Pairing::registers, 1},
  };
  CHECK(corner == at_corner);
}

TEST_CASE("neighbours stay inside the space, and a config outside it has some inside") {
  const std::vector<LaunchConfig> space = tune_space(gptj(), 1, device(9));
  for (const LaunchConfig& config : space) {
    for (const LaunchConfig& neighbour : neighbours(config, space)) CHECK(has(space, neighbour));
  }
  const std::vector<LaunchConfig> large = tune_space(gptj(), 4096, device(9));
  const std::vector<LaunchConfig> outside = neighbours({224, 16, Pairing::registers, 1}, large);
  CHECK(has(outside, {128, 16, Pairing::registers, 1}));
  CHECK(has(outside, {256, 16, Pairing::registers, 1}));
}

}  // namespace ropejit
