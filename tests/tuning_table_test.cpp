#include "src/tuning_table.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "src/heuristic.h"
#include "src/source.h"
#include "src/text.h"
#include "src/tuning_distance.h"
#include "tests/temporary_folder.h"
#include "tests/tuning_fixture.h"

namespace ropejit {
namespace {

constexpr LaunchConfig kA{64, 16, Pairing::registers, 1, false};
constexpr LaunchConfig kB{256, 16, Pairing::registers, 2, false};
constexpr LaunchConfig kC{512, 8, Pairing::exchange, 4, true};

RopeSpec with_heads(int q_heads) {
  RopeSpec spec = llama_spec();
  spec.q_heads = q_heads;
  return spec;
}

/// A table of one file, named `file`, for kBig.
TuningTable table_of(std::vector<TuningEntry> entries) {
  return TuningTable({{"file", file_of({run_on(kBig, std::move(entries))})}}, {});
}

ConfigChoice choose(const TuningTable& table, std::int64_t tokens,
                    const RopeSpec& spec = llama_spec()) {
  return table.choose(spec, kBig, tokens);
}

LaunchConfig heuristic_at(const RopeSpec& spec, std::int64_t tokens) {
  return heuristic_configs(spec)[static_cast<std::size_t>(token_bucket(tokens))];
}

}  // namespace

TEST_CASE("what was measured for the spec and the token count is taken, with what the file says") {
  const TuningTable table =
      table_of({entry(llama_spec(), 4096, kA), entry(llama_spec(), 8192, kB)});
  const ConfigChoice choice = choose(table, 8192);
  CHECK(choice.config == kB);
  CHECK(choice.match == Match::exact);
  CHECK(choice.file == "file");
  CHECK(choice.why == "measured for this spec at 8192 tokens on this class of devices");
  CHECK(choice.measured == measured(kB, 10));
  CHECK(choice.measured_default == measured({}, 11));
  CHECK(choice.measured_tokens == 8192);
  CHECK(choice.samples == 31);
}

TEST_CASE("a bucket's entry is for all of its token counts, and for no other") {
  const TuningTable table =
      table_of({entry(llama_spec(), 4096, kA), entry(llama_spec(), 8192, kB)});
  CHECK(choose(table, 4096).config == kA);
  CHECK(choose(table, 4097).config == kB);
  CHECK(choose(table, 4097).match == Match::exact);
  CHECK(choose(table, 8193).match == Match::near_tokens);
}

TEST_CASE("what does not decide the speed does not matter") {
  const TuningTable table = table_of({entry(llama_spec(), 8192, kB)});
  RopeSpec spec = llama_spec();
  spec.direction = Direction::inverse;
  spec.index_type = IndexType::int64;
  spec.rotary_dim = 0;
  CHECK(choose(table, 8192, spec).match == Match::exact);
}

TEST_CASE("without that, the nearest token count of the spec, the larger of two") {
  const TuningTable table =
      table_of({entry(llama_spec(), 1, kA), entry(llama_spec(), 256, kB),
                entry(llama_spec(), 1024, kC), entry(with_heads(31), 512, {})});
  CHECK(choose(table, 128).config == kB);
  CHECK(choose(table, 512).config == kC);
  CHECK(choose(table, std::numeric_limits<std::int64_t>::max()).config == kC);
  const ConfigChoice choice = choose(table, 8);
  CHECK(choice.config == kA);
  CHECK(choice.match == Match::near_tokens);
  CHECK(choice.why == "measured for this spec at 1 token, the nearest count that was");
  CHECK(choice.measured_tokens == 1);
}

TEST_CASE("without the spec, the nearest one, whose distance is said") {
  const TuningTable table =
      table_of({entry(with_heads(64), 8192, kA), entry(with_heads(33), 8192, kB),
                entry(with_heads(16), 8192, kC)});
  const ConfigChoice choice = choose(table, 8192);
  CHECK(choice.config == kB);
  CHECK(choice.match == Match::near_spec);
  CHECK(choice.why == "measured for " + describe(spec_class(with_heads(33))) +
                          " at 8192 tokens, the nearest at a distance of 0.01");
}

TEST_CASE("how near a spec is and how near its token count is are weighed together") {
  const TuningTable table =
      table_of({entry(with_heads(33), 1, kA), entry(with_heads(16), 8192, kB)});
  CHECK(choose(table, 8192).config == kB);
  CHECK(choose(table, 1).config == kA);
}

TEST_CASE("a spec that is too far away is not taken, nor one at a token count that is") {
  RopeSpec far = llama_spec();
  far.head_dim = far.rotary_dim = 32;
  REQUIRE(spec_distance(spec_class(far), spec_class(llama_spec())) > kMostDistance);
  const ConfigChoice choice = choose(table_of({entry(far, 8192, kA)}), 8192);
  CHECK(choice.config == heuristic_at(llama_spec(), 8192));
  CHECK(choice.match == Match::heuristic);
  CHECK(choice.file.empty());
  CHECK(choice.why == "nothing that was measured on this class of devices is near enough");
  CHECK_FALSE(choice.measured.has_value());

  const TuningTable other = table_of({entry(with_heads(64), 1, kA)});
  CHECK(choose(other, 1).match == Match::near_spec);
  CHECK(choose(other, 1024).match == Match::near_spec);
  CHECK(choose(other, 2048).match == Match::heuristic);
}

TEST_CASE("a device of no class in a file gets the heuristic's config, and is named") {
  const TuningTable table = table_of({entry(llama_spec(), 8192, kA)});
  for (const DeviceClass& device_class :
       {kSmall, kOther, DeviceClass{9, 0, 132, kBig.l2_bytes - 1}, DeviceClass{}}) {
    const ConfigChoice choice = table.choose(llama_spec(), device_class, 1);
    CHECK(choice.config == heuristic_at(llama_spec(), 1));
    CHECK(choice.match == Match::heuristic);
    CHECK(choice.why == "no tuned file is for devices of class " + describe(device_class));
  }
}

TEST_CASE("of equal matches the higher layer's is taken, whatever its token count or time") {
  const auto layer = [](const char* name, std::int64_t tokens, const LaunchConfig& config) {
    return TuningLayer{name, file_of({run_on(kBig, {entry(llama_spec(), tokens, config)})})};
  };
  const TuningTable exact({layer("user", 8, kA), layer("system", 8, kB), layer("third", 8, kC)},
                          {});
  CHECK(choose(exact, 8).file == "user");
  const TuningTable near({layer("user", 16, kA), layer("system", 4, kB)}, {});
  CHECK(choose(near, 8).file == "user");
  CHECK(choose(near, 8).config == kA);
}

TEST_CASE("a better match of a lower layer goes before a worse one of a higher layer") {
  const TuningTable table(
      {{"user",
        file_of({run_on(kBig, {entry(llama_spec(), 1, kA), entry(with_heads(64), 8, kA)})})},
       {"system", file_of({run_on(kBig, {entry(llama_spec(), 8, kB)})})}},
      {});
  CHECK(choose(table, 8).file == "system");
  CHECK(choose(table, 1).file == "user");
  CHECK(choose(table, 16).file == "system");
  CHECK(choose(table, 16).match == Match::near_tokens);
  CHECK(choose(table, 8, with_heads(33)).file == "system");
}

TEST_CASE("what is shipped comes last, under its file's name") {
  const std::vector<TuningEntry> entries = {entry(llama_spec(), 8, kC)};
  const std::vector<std::string_view> aliases = {"Big One"};
  const std::vector<ShippedRun> shipped = {{"big.json", kBig, aliases, entries}};
  CHECK(choose(TuningTable({}, shipped), 8).file == "shipped big.json");
  CHECK(choose(TuningTable({}, shipped), 8).config == kC);
  const TuningTable both({{"user", file_of({run_on(kBig, {entry(llama_spec(), 8, kA)})})}},
                         shipped);
  CHECK(choose(both, 8).file == "user");
}

TEST_CASE("a config that cannot run is passed over for the next best, and that is said") {
  const std::vector<LaunchConfig> impossible = {
      {100, 16, Pairing::registers, 1, false}, {1024, 16, Pairing::registers, 1, false},
      {0, 16, Pairing::registers, 1, false},   {-64, 16, Pairing::registers, 1, false},
      {128, 0, Pairing::registers, 1, false},  {128, 3, Pairing::registers, 1, false},
      {128, 64, Pairing::registers, 1, false}, {128, 16, Pairing::registers, 0, false},
      {128, 16, Pairing::registers, 3, false}, {128, 16, Pairing::registers, -1, false},
      {128, 32, Pairing::registers, 1, false},
  };
  for (const LaunchConfig& config : impossible) {
    CAPTURE(describe(config));
    const TuningTable table =
        table_of({entry(llama_spec(), 8192, config), entry(llama_spec(), 1, kA)});
    const ConfigChoice choice = choose(table, 8192);
    CHECK(choice.config == kA);
    CHECK(choice.match == Match::near_tokens);
    CHECK(choice.why.starts_with(
        "measured for this spec at 1 token, the nearest count that was; passed over what file "
        "says for 8192 tokens: "));
    const ConfigChoice alone = choose(table_of({entry(llama_spec(), 8192, config)}), 8192);
    CHECK(alone.config == heuristic_at(llama_spec(), 8192));
    CHECK(alone.match == Match::heuristic);
    CHECK(alone.why.starts_with(
        "nothing that was measured on this class of devices is near enough; passed over what "));
  }
}

TEST_CASE("the reason names the rule that a config breaks, and how many more do") {
  const TuningTable table = table_of({entry(llama_spec(), 8, {100, 16, Pairing::registers, 1}),
                                      entry(llama_spec(), 4, {128, 32, Pairing::registers, 1}),
                                      entry(llama_spec(), 1, kA)});
  CHECK(choose(table, 8).why ==
        "measured for this spec at 1 token, the nearest count that was; passed over what file says "
        "for 8 tokens: block_threads = 100: must be a multiple of 32, from 32 to 512; and 1 more");
  CHECK(choose(table, 4).why ==
        "measured for this spec at 1 token, the nearest count that was; passed over what file says "
        "for 4 tokens: access_bytes = 32: is for sm_100 and later, not for sm_90; and 1 more");
  CHECK(choose(table, 1).why == "measured for this spec at 1 token on this class of devices");
}

TEST_CASE("a spec whose configs cannot run at all falls back to a near spec") {
  const TuningTable table = table_of(
      {entry(llama_spec(), 8, {100, 16, Pairing::registers, 1}), entry(with_heads(31), 8, kA)});
  CHECK(choose(table, 8).match == Match::near_spec);
  CHECK(choose(table, 8).config == kA);
}

TEST_CASE("from sm_100 on an access may have 32 bytes") {
  const DeviceClass b200{10, 0, 148, 132644864};
  RopeSpec spec = llama_spec();
  spec.alignment = 32;
  const LaunchConfig wide{128, 32, Pairing::registers, 1, false};
  const TuningTable table({{"file", file_of({run_on(b200, {entry(spec, 8, wide)})})}}, {});
  CHECK(table.choose(spec, b200, 8).config == wide);
  CHECK(table.choose(spec, b200, 8).match == Match::exact);
}

TEST_CASE("the config is what takes effect for the spec") {
  const TuningTable table = table_of({entry(llama_spec(), 8, kC)});
  RopeSpec narrow = llama_spec();
  narrow.alignment = 8;
  const ConfigChoice choice = choose(table, 8, narrow);
  CHECK(choice.match == Match::near_spec);
  CHECK(choice.config == effective_config(narrow, kC));
  const ConfigChoice untuned = table.choose(narrow, kOther, 8192);
  CHECK(untuned.config == effective_config(narrow, heuristic_config(narrow, 8192)));
}

TEST_CASE("all buckets at once have what each has alone") {
  const TuningTable table(
      {{"user",
        file_of({run_on(kBig, {entry(llama_spec(), 1, kA), entry(with_heads(64), 64, kB),
                               entry(llama_spec(), 512, {100, 16, Pairing::exchange, 1})})})},
       {"system", file_of({run_on(kBig, {entry(llama_spec(), 16384, kC)})})}},
      {});
  for (const RopeSpec& spec : {llama_spec(), with_heads(48), with_heads(2)}) {
    for (const DeviceClass& device_class : {kBig, kOther}) {
      const BucketConfigs configs = table.configs(spec, device_class);
      for (int bucket = 0; bucket < kTokenBuckets; ++bucket) {
        CHECK(configs[static_cast<std::size_t>(bucket)] ==
              table.choose(spec, device_class, bucket_tokens(bucket)).config);
      }
    }
  }
}

TEST_CASE("classes and names are those of all files, each once") {
  const TuningTable table({{"user", varied_file()}, {"system", varied_file()}}, {});
  CHECK(table.device_classes() == std::vector{kBig, kOther});
  CHECK(table.aliases() == varied_file().runs[0].aliases);
  CHECK(table.find_device_class("NVIDIA H200") == kBig);
  CHECK(table.find_device_class("nvidia h200") == kBig);
  CHECK(table.find_device_class("NVIDIA H20") == std::nullopt);
  CHECK(table.find_device_class("") == std::nullopt);
}

TEST_CASE("a table stays what it is when it is moved") {
  TuningTable first = table_of({entry(llama_spec(), 8, kA)});
  const TuningTable second = std::move(first);
  CHECK(choose(second, 8).config == kA);
}

}  // namespace ropejit
