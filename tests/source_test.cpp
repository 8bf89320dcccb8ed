#include "src/source.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "cache/key.h"
#include "src/build.h"
#include "src/embedded_templates.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

RopeSpec base_spec() {
  RopeSpec spec;
  spec.head_dim = 128;
  spec.rotary_dim = 64;
  spec.dtype = Dtype::bfloat16;
  spec.layout = Layout::sequential;
  spec.q_heads = 32;
  spec.kv_heads = 8;
  spec.positions = PositionMode::token_ids;
  return spec;
}

RopeSpec spec_of(int head_dim, int rotary_dim, Dtype dtype, Layout layout, int alignment) {
  RopeSpec spec = base_spec();
  spec.head_dim = head_dim;
  spec.rotary_dim = rotary_dim;
  spec.dtype = dtype;
  spec.layout = layout;
  spec.alignment = alignment;
  return spec;
}

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::istringstream stream{std::string(text)};
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

struct Change {
  const char* what;
  std::function<void(RopeSpec&, LaunchConfig&)> make;
};

/// Each changes one field of what a kernel is built from. Where an enum has more than two values,
/// all are listed.
const std::vector<Change>& changes() {
  using Spec = RopeSpec&;
  using Config = LaunchConfig&;
  static const std::vector<Change> all = {
      {"head_dim", [](Spec s, Config) { s.head_dim = 192; }},
      {"rotary_dim", [](Spec s, Config) { s.rotary_dim = 32; }},
      {"dtype float32", [](Spec s, Config) { s.dtype = Dtype::float32; }},
      {"dtype float16", [](Spec s, Config) { s.dtype = Dtype::float16; }},
      {"layout", [](Spec s, Config) { s.layout = Layout::interleaved; }},
      {"q_heads", [](Spec s, Config) { s.q_heads = 33; }},
      {"kv_heads", [](Spec s, Config) { s.kv_heads = 9; }},
      {"positions offset", [](Spec s, Config) { s.positions = PositionMode::offset; }},
      {"positions sequence_offsets",
       [](Spec s, Config) { s.positions = PositionMode::sequence_offsets; }},
      {"positions ragged", [](Spec s, Config) { s.positions = PositionMode::ragged; }},
      {"index_type", [](Spec s, Config) { s.index_type = IndexType::int64; }},
      {"angles", [](Spec s, Config) { s.angles = AngleSource::table; }},
      {"direction", [](Spec s, Config) { s.direction = Direction::inverse; }},
      {"alignment 8", [](Spec s, Config) { s.alignment = 8; }},
      {"alignment 4", [](Spec s, Config) { s.alignment = 4; }},
      {"alignment 2", [](Spec s, Config) { s.alignment = 2; }},
      {"access_bytes 8", [](Spec, Config c) { c.access_bytes = 8; }},
      {"access_bytes 4", [](Spec, Config c) { c.access_bytes = 4; }},
      {"pairing", [](Spec, Config c) { c.pairing = Pairing::exchange; }},
      {"heads_per_thread 2", [](Spec, Config c) { c.heads_per_thread = 2; }},
      {"heads_per_thread 4", [](Spec, Config c) { c.heads_per_thread = 4; }},
      {"streaming_stores", [](Spec, Config c) { c.streaming_stores = true; }},
  };
  return all;
}

}  // namespace

TEST_CASE("the rendered source is one text: no include is left, and no pragma once") {
  const Source source = render(base_spec(), {});
  CHECK(source.text.find("#include") == std::string::npos);
  CHECK(source.text.find("#pragma once") == std::string::npos);
  CHECK(source.name == "rope.cu");
  CHECK(source.entry_point == "ropejit_rope");
  CHECK(occurrences(source.text, "\n    ropejit_rope(const") == 1);
}

TEST_CASE("each constant stands once in the source, with the value of the spec and the config") {
  RopeSpec spec = spec_of(80, 20, Dtype::float16, Layout::interleaved, 8);
  spec.q_heads = 17;
  spec.kv_heads = 3;
  spec.positions = PositionMode::sequence_offsets;
  spec.index_type = IndexType::int64;
  spec.angles = AngleSource::table;
  spec.direction = Direction::inverse;
  const std::string text = render(spec, {192, 4, Pairing::exchange, 2, true}).text;
  for (const char* line :
       {"ROPE_CONSTANT Dtype kDtype() { return Dtype::float16; }",
        "ROPE_CONSTANT Layout kLayout() { return Layout::interleaved; }",
        "ROPE_CONSTANT PositionMode kPositions() { return PositionMode::sequence_offsets; }",
        "ROPE_CONSTANT int kIndexBytes() { return 8; }",
        "ROPE_CONSTANT AngleSource kAngles() { return AngleSource::table; }",
        "ROPE_CONSTANT Direction kDirection() { return Direction::inverse; }",
        "ROPE_CONSTANT int kHeadDim() { return 80; }",
        "ROPE_CONSTANT int kRotaryDim() { return 20; }",
        "ROPE_CONSTANT int kQHeads() { return 17; }", "ROPE_CONSTANT int kKvHeads() { return 3; }",
        "ROPE_CONSTANT int kRotaryBytes() { return 4; }",
        "ROPE_CONSTANT int kPassBytes() { return 8; }",
        "ROPE_CONSTANT int kTableBytes() { return 8; }",
        "ROPE_CONSTANT Pairing kPairing() { return Pairing::registers; }",
        "ROPE_CONSTANT int kHeadsPerThread() { return 2; }",
        "ROPE_CONSTANT bool kStreamingStores() { return true; }",
        "ROPE_CONSTANT int kMostBlockThreads() { return 512; }",
        "ROPE_CONSTANT bool kRotate() { return true; }"}) {
    const std::string wanted = line;
    CAPTURE(wanted);
    CHECK(occurrences(text, "\n" + wanted + "\n") == 1);
    const std::string declaration = wanted.substr(0, wanted.find('{') + 1);
    CHECK(occurrences(text, declaration) == 1);
  }
}

TEST_CASE("a rotary_dim of 0 is head_dim in the source") {
  RopeSpec all = base_spec(), named = base_spec();
  all.rotary_dim = 0;
  named.rotary_dim = named.head_dim;
  CHECK(render(all, {}).text == render(named, {}).text);
}

TEST_CASE("the same spec and config give the same source") {
  CHECK(render(base_spec(), {}).text == render(base_spec(), {}).text);
}

TEST_CASE("a change of any one field of spec or config changes the source and the key") {
  // A new field fails to compile here: add it to changes() as well.
  [[maybe_unused]] const auto& [head_dim, rotary_dim, dtype, layout, q_heads, kv_heads, positions,
                                index_type, angles, direction, alignment] = RopeSpec{};
  [[maybe_unused]] const auto& [block_threads, access_bytes, pairing, heads_per_thread,
                                streaming_stores] = LaunchConfig{};

  std::map<std::string, std::string> seen = {{render(base_spec(), {}).text, "the base"}};
  std::map<Key, std::string> keys = {{Builder::key_of({base_spec(), {}, "sm_90"}), "the base"}};
  for (const Change& change : changes()) {
    BuildRequest request{base_spec(), {}, "sm_90"};
    change.make(request.kernel_spec, request.config);
    const std::string text = render(request.kernel_spec, request.config).text;
    CAPTURE(change.what);
    CAPTURE(seen[text]);
    CHECK(seen[text].empty());
    seen[text] = change.what;
    CHECK(keys.emplace(Builder::key_of(request), change.what).second);
  }
}

TEST_CASE("configs that differ in the number of threads share a source") {
  CHECK(render(base_spec(), {32}).text == render(base_spec(), {512}).text);
}

TEST_CASE("the rotation-free twin is another source, with the same geometry") {
  const std::string twin = render(base_spec(), {}, Body::copy).text;
  CHECK(occurrences(twin, "ROPE_CONSTANT bool kRotate() { return false; }") == 1);
  CHECK(Builder::key_of({base_spec(), {}, "sm_90", Body::copy}) !=
        Builder::key_of({base_spec(), {}, "sm_90"}));
}

TEST_CASE("effective configs are equal if and only if the kernels are, threads apart") {
  std::map<std::string, LaunchConfig> seen;
  for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
    for (const int head_dim : {2, 72, 128}) {
      for (const int heads : {1, 3, 32}) {
        RopeSpec spec = spec_of(head_dim, head_dim, Dtype::float16, layout, 32);
        spec.q_heads = heads;
        spec.kv_heads = 1;
        for (const int bytes : {4, 8, 16, 32}) {
          for (const Pairing pairing : {Pairing::registers, Pairing::exchange}) {
            for (const int rows : {1, 2, 4}) {
              const LaunchConfig config = {128, bytes, pairing, rows};
              const LaunchConfig effective = effective_config(spec, config);
              const std::string text = render(spec, config).text;
              CHECK(render(spec, effective).text == text);
              CHECK(seen.try_emplace(text, effective).first->second == effective);
            }
          }
        }
      }
    }
  }
  CHECK(seen.size() > 50);
}

TEST_CASE("a key is made of source, options and architecture, and changes with each of them") {
  const BuildRequest request{base_spec(), {}, "sm_90"};
  const std::string text = render(request.kernel_spec, request.config).text;
  const Key key = Builder::key_of(request);
  CHECK(key == make_key(text, compile_options(), "sm_90"));
  CHECK(key != Builder::key_of({base_spec(), {}, "sm_90a"}));
  CHECK(key != make_key(text + " ", compile_options(), "sm_90"));
  std::vector<std::string> options = compile_options();
  options.push_back("--maxrregcount=64");
  CHECK(key != make_key(text, options, "sm_90"));
  options = compile_options();
  options.pop_back();
  CHECK(key != make_key(text, options, "sm_90"));
}

TEST_CASE("no option trades accuracy for speed") {
  for (const std::string& option : compile_options()) CHECK(option.find("fast") == option.npos);
}

TEST_CASE("every line of the source stands under its template's name and line number") {
  std::map<std::string, std::vector<std::string>> files;
  for (const EmbeddedTemplate& file : embedded_templates()) {
    files[fmt::format("templates/{}", file.name)] = lines_of(file.text);
  }
  std::string label;
  std::size_t line_number = 0, compared = 0;
  for (const std::string& line : lines_of(render(base_spec(), {}).text)) {
    if (line.starts_with("#line ")) {
      const std::size_t quote = line.find('"');
      line_number = std::stoul(line.substr(6));
      label = line.substr(quote + 1, line.size() - quote - 2);
      continue;
    }
    if (files.contains(label) && !line.empty()) {
      REQUIRE(line_number <= files[label].size());
      CHECK(files[label][line_number - 1] == line);
      ++compared;
    }
    ++line_number;
  }
  CHECK(compared > 300);
}

TEST_CASE("a bad spec or config is refused before anything is rendered") {
  RopeSpec odd = base_spec();
  odd.head_dim = 127;
  CHECK(refusal([&] { render(odd, {}); }).starts_with("invalid_argument: head_dim = 127"));
  CHECK(refusal([&] {
          render(base_spec(), {.access_bytes = 3});
        }).starts_with("invalid_argument: access_bytes = 3"));
}

TEST_CASE("the geometry of awkward dimensions is as computed by hand") {
  struct Row {
    int head_dim, rotary_dim;
    Dtype dtype;
    Layout layout;
    int alignment;
    LaunchConfig config;
    int rotary_bytes, pass_bytes, rotary_slots, pass_slots;
  };
  using enum Dtype;
  using enum Layout;
  const LaunchConfig widest = {128, 32, Pairing::registers, 1};
  const LaunchConfig exchange = {128, 16, Pairing::exchange, 1};
  for (const Row& row : std::vector<Row>{
           {128, 128, bfloat16, sequential, 16, widest, 16, 16, 8, 0},
           {128, 128, bfloat16, sequential, 32, widest, 32, 16, 4, 0},
           {128, 128, bfloat16, interleaved, 16, widest, 16, 16, 16, 0},
           {92, 92, bfloat16, sequential, 16, widest, 4, 8, 23, 0},  // 184 bytes, halves of 92
           {92, 92, bfloat16, interleaved, 16, widest, 8, 8, 23, 0},
           {80, 20, bfloat16, sequential, 16, widest, 4, 8, 5, 15},  // halves of 20 bytes; 40, 120
           {72, 18, float16, sequential, 16, widest, 2, 4, 9, 27},   // halves of 18 bytes; 36, 108
           {72, 18, float16, interleaved, 16, widest, 4, 4, 9, 27},
           {2, 2, float32, interleaved, 16, widest, 8, 8, 1, 0},
           {2, 2, float32, sequential, 16, widest, 4, 8, 1, 0},
           {2, 2, bfloat16, interleaved, 2, widest, 2, 2, 1,
            0},  // a thread takes a pair all the same
           {1024, 1024, bfloat16, interleaved, 2, widest, 2, 2, 512, 0},
           {1024, 1024, bfloat16, sequential, 2, widest, 2, 2, 512, 0},
           {1024, 2, bfloat16, sequential, 2, widest, 2, 2, 1, 1022},
           {576, 64, bfloat16, interleaved, 16, widest, 16, 16, 8, 64},
           {256, 64, float32, sequential, 16, widest, 16, 16, 8, 48},
           {96, 48, float16, sequential, 8, widest, 8, 8, 6, 12},
           {112, 112, float32, interleaved, 4, widest, 4, 4, 56, 0},
           // Two lanes a slot: of 15 pieces that pass through, the last slot has one.
           {80, 20, bfloat16, sequential, 16, exchange, 4, 8, 5, 8},
           {128, 128, bfloat16, sequential, 16, exchange, 16, 16, 8, 0},
           {128, 128, bfloat16, sequential, 16, {128, 8, Pairing::exchange, 1}, 8, 16, 16, 0},
           // Nothing to halve: pairs stay in registers.
           {72, 18, float16, sequential, 16, exchange, 2, 4, 9, 27},
       }) {
    const Geometry shape = geometry(
        spec_of(row.head_dim, row.rotary_dim, row.dtype, row.layout, row.alignment), row.config);
    CAPTURE(row.head_dim);
    CAPTURE(row.rotary_dim);
    CAPTURE(name(row.dtype));
    CAPTURE(name(row.layout));
    CAPTURE(row.alignment);
    CHECK(shape.rotary_bytes == row.rotary_bytes);
    if (row.pass_slots > 0) CHECK(shape.pass_bytes == row.pass_bytes);
    CHECK(shape.rotary_slots == row.rotary_slots);
    CHECK(shape.pass_slots == row.pass_slots);
  }
}

namespace {

/// What a geometry breaks, in words; empty if nothing. `element` in bytes.
std::string broken_rule(const RopeSpec& spec, const LaunchConfig& config, const Geometry& shape,
                        int element) {
  const auto width_fits = [&](int bytes, int most) {
    return bytes >= element && bytes <= most && (bytes & (bytes - 1)) == 0 &&
           spec.alignment % bytes == 0 && spec.head_dim * element % bytes == 0;
  };
  const bool sequential = spec.layout == Layout::sequential;
  const int rotary_bytes_per_slot =
      sequential ? 2 * shape.rotary_bytes : std::max(shape.rotary_bytes, 2 * element);
  const int pass = (spec.head_dim - spec.rotary()) * element;
  const int pass_bytes_of_slots = shape.pass_slots * shape.lanes_per_slot() * shape.pass_bytes;
  if (!width_fits(shape.rotary_bytes, config.access_bytes)) return "width of the rotary part";
  if (sequential && spec.rotary() / 2 * element % shape.rotary_bytes != 0) return "second half";
  if (shape.pairing == Pairing::exchange && (!sequential || shape.rotary_bytes < 2 * element)) {
    return "nothing to exchange";
  }
  if (shape.rotary_slots < 1) return "no rotary slots";
  if (shape.rotary_slots * rotary_bytes_per_slot != spec.rotary() * element) return "coverage";
  if (pass_bytes_of_slots < pass) return "coverage of the rest";
  if (pass_bytes_of_slots - pass >= shape.lanes_per_slot() * shape.pass_bytes) return "idle slot";
  if (pass > 0 && pass % shape.pass_bytes != 0) return "pieces of the rest";
  if (pass > 0 && !width_fits(shape.pass_bytes, 16)) return "width of the rest";
  if (pass > 0 && spec.rotary() * element % shape.pass_bytes != 0) return "start of the rest";
  return {};
}

}  // namespace

TEST_CASE("every valid head is covered, and never misaligned, whatever the config") {
  int heads = 0;
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    const int element = static_cast<int>(size_of(dtype));
    for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
      for (int alignment = element; alignment <= 32; alignment *= 2) {
        for (int head_dim = 2; head_dim <= 1024; head_dim += 2) {
          for (int rotary_dim = 2; rotary_dim <= head_dim; rotary_dim += 2) {
            const RopeSpec spec = spec_of(head_dim, rotary_dim, dtype, layout, alignment);
            const LaunchConfig config = {128, 4 << (head_dim + rotary_dim) / 2 % 4,
                                         static_cast<Pairing>(rotary_dim / 2 % 2), 1};
            const std::string rule = broken_rule(spec, config, geometry(spec, config), element);
            ++heads;
            if (!rule.empty()) FAIL(describe(spec), ", ", describe(config), ": ", rule);
          }
        }
      }
    }
  }
  CHECK(heads == (4 + 5 + 5) * 2 * 512 * 513 / 2);
}

TEST_CASE("the effective alignment divides the promised one and a head's bytes") {
  const auto effective = [](int head_dim, Dtype dtype, int alignment) {
    return effective_alignment(spec_of(head_dim, 2, dtype, Layout::sequential, alignment));
  };
  CHECK(effective(128, Dtype::bfloat16, 16) == 16);
  CHECK(effective(128, Dtype::bfloat16, 4) == 4);
  CHECK(effective(92, Dtype::bfloat16, 16) == 8);
  CHECK(effective(90, Dtype::float16, 16) == 4);
  CHECK(effective(90, Dtype::float32, 16) == 8);
  CHECK(effective(2, Dtype::float16, 16) == 4);
  CHECK(effective(2, Dtype::float32, 4) == 4);
}

TEST_CASE("a rope holds a kernel for its alignment and one for a single element's") {
  RopeSpec spec = base_spec();
  spec.rotary_dim = 0;
  const std::vector<RopeSpec> kernels = kernel_specs(spec);
  REQUIRE(kernels.size() == 2);
  RopeSpec wide = spec;
  wide.rotary_dim = 128;
  CHECK(kernels[0] == wide);
  RopeSpec narrow = wide;
  narrow.alignment = 2;
  CHECK(kernels[1] == narrow);
}

TEST_CASE("a rope holds one kernel when its alignment is a single element's") {
  CHECK(kernel_specs(spec_of(128, 64, Dtype::float32, Layout::sequential, 4)).size() == 1);
  CHECK(kernel_specs(spec_of(128, 64, Dtype::float16, Layout::sequential, 2)).size() == 1);
  CHECK(kernel_specs(spec_of(128, 64, Dtype::float16, Layout::sequential, 4)).size() == 2);
}

TEST_CASE("the kernels of a rope assume no more than a dense tensor of its heads keeps") {
  CHECK(kernel_specs(spec_of(92, 92, Dtype::bfloat16, Layout::sequential, 16))[0].alignment == 8);
}

TEST_CASE("position mode offset has no index type, so both types mean the same kernels") {
  RopeSpec narrow = base_spec(), wide = base_spec();
  narrow.positions = wide.positions = PositionMode::offset;
  wide.index_type = IndexType::int64;
  CHECK(kernel_specs(narrow) == kernel_specs(wide));
  narrow.positions = wide.positions = PositionMode::ragged;
  CHECK(kernel_specs(narrow) != kernel_specs(wide));
}

}  // namespace ropejit
