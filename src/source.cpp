#include "src/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <initializer_list>
#include <iterator>
#include <set>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "src/embedded_templates.h"

namespace ropejit {
namespace {

/// The largest power of two up to `most` that divides every one of `sizes`.
int common_power_of_two(int most, std::initializer_list<int> sizes) {
  int power = most;
  for (const int size : sizes) {
    while (size % power != 0) power /= 2;
  }
  return power;
}

std::string config_header(const RopeSpec& spec, const LaunchConfig& config, Body body) {
  const Geometry shape = geometry(spec, config);
  return fmt::format(
      R"(#include "names.cuh"
ROPE_CONSTANT Dtype kDtype() {{ return Dtype::{}; }}
ROPE_CONSTANT Layout kLayout() {{ return Layout::{}; }}
ROPE_CONSTANT PositionMode kPositions() {{ return PositionMode::{}; }}
ROPE_CONSTANT int kIndexBytes() {{ return {}; }}
ROPE_CONSTANT AngleSource kAngles() {{ return AngleSource::{}; }}
ROPE_CONSTANT Direction kDirection() {{ return Direction::{}; }}
ROPE_CONSTANT int kHeadDim() {{ return {}; }}
ROPE_CONSTANT int kRotaryDim() {{ return {}; }}
ROPE_CONSTANT int kQHeads() {{ return {}; }}
ROPE_CONSTANT int kKvHeads() {{ return {}; }}
ROPE_CONSTANT int kRotaryBytes() {{ return {}; }}
ROPE_CONSTANT int kPassBytes() {{ return {}; }}
ROPE_CONSTANT int kTableBytes() {{ return {}; }}
ROPE_CONSTANT Pairing kPairing() {{ return Pairing::{}; }}
ROPE_CONSTANT int kHeadsPerThread() {{ return {}; }}
ROPE_CONSTANT bool kStreamingStores() {{ return {}; }}
ROPE_CONSTANT int kMostBlockThreads() {{ return {}; }}
ROPE_CONSTANT bool kRotate() {{ return {}; }}
)",
      name(spec.dtype), name(spec.layout), name(spec.positions), size_of(spec.index_type),
      name(spec.angles), name(spec.direction), spec.head_dim, spec.rotary(), spec.q_heads,
      spec.kv_heads, shape.rotary_bytes, shape.pass_bytes,
      table_alignment(spec.alignment, spec.rotary()), name(shape.pairing), shape.heads_per_thread,
      config.streaming_stores, kMostBlockThreads, body == Body::rotate);
}

std::string_view template_text(std::string_view name) {
  for (const EmbeddedTemplate& file : embedded_templates()) {
    if (file.name == name) return file.text;
  }
  throw std::logic_error(fmt::format("no template {}", name));
}

/// The file name in a line `#include "name"`, or nothing.
std::string_view included_name(std::string_view line) {
  constexpr std::string_view kInclude = "#include \"";
  if (!line.starts_with(kInclude)) return {};
  line.remove_prefix(kInclude.size());
  return line.substr(0, line.find('"'));
}

/// Puts the templates into one text, each file once, with the generated text as config.cuh. #line
/// directives make compilers report the template's own file and line.
class Flattener {
 public:
  explicit Flattener(std::string config) : config_(std::move(config)) {}

  void add(const std::string& name) {
    if (!seen_.insert(name).second) return;
    const bool generated = name == "config.cuh";
    const std::string label = generated ? "generated config.cuh" : "templates/" + name;
    std::string_view rest = generated ? std::string_view(config_) : template_text(name);
    fmt::format_to(std::back_inserter(text_), "#line 1 \"{}\"\n", label);
    for (int line_number = 1; !rest.empty(); ++line_number) {
      const std::size_t end = std::min(rest.find('\n'), rest.size() - 1);
      const std::string_view line = rest.substr(0, end + 1);
      rest.remove_prefix(end + 1);
      if (const std::string_view included = included_name(line); !included.empty()) {
        add(std::string(included));
        fmt::format_to(std::back_inserter(text_), "#line {} \"{}\"\n", line_number + 1, label);
      } else if (!line.starts_with("#pragma once")) {
        text_ += line;
      } else {
        text_ += '\n';
      }
    }
  }

  std::string take() && { return std::move(text_); }

 private:
  std::string config_;
  std::string text_;
  std::set<std::string> seen_;
};

}  // namespace

Geometry geometry(const RopeSpec& spec, const LaunchConfig& config) {
  const int element = static_cast<int>(size_of(spec.dtype));
  const int alignment = effective_alignment(spec);
  const bool interleaved = spec.layout == Layout::interleaved;
  const int run = interleaved ? spec.rotary() : spec.rotary() / 2;
  const int pass = spec.head_dim - spec.rotary();
  Geometry shape{};
  shape.rotary_bytes = common_power_of_two(config.access_bytes, {alignment, run * element});
  shape.pass_bytes = common_power_of_two(16, {alignment, spec.rotary() * element, pass * element});
  const int access = shape.rotary_bytes / element;
  // Lanes that exchange take half of each other's access.
  shape.pairing = interleaved || access < 2 ? Pairing::registers : config.pairing;
  const auto most_heads = static_cast<unsigned>(std::max(spec.q_heads, spec.kv_heads));
  shape.heads_per_thread =
      std::min(config.heads_per_thread, static_cast<int>(std::bit_ceil(most_heads)));
  shape.rotary_slots = run / (interleaved ? std::max(access, 2) : access);
  const int pass_accesses = pass * element / shape.pass_bytes;
  shape.pass_slots = (pass_accesses + shape.lanes_per_slot() - 1) / shape.lanes_per_slot();
  return shape;
}

LaunchConfig effective_config(const RopeSpec& spec, const LaunchConfig& config) {
  const Geometry shape = geometry(spec, config);
  return {config.block_threads, std::max(shape.rotary_bytes, 4), shape.pairing,
          shape.heads_per_thread, config.streaming_stores};
}

int effective_alignment(const RopeSpec& spec) {
  return common_power_of_two(
      32, {spec.alignment, spec.head_dim * static_cast<int>(size_of(spec.dtype))});
}

int table_alignment(int alignment, int rotary_dim) noexcept {
  const auto bits = static_cast<unsigned>(alignment | 2 * rotary_dim);
  return std::clamp(1 << std::countr_zero(bits), 4, 16);
}

std::vector<RopeSpec> kernel_specs(const RopeSpec& spec) {
  RopeSpec wide = spec;
  wide.rotary_dim = spec.rotary();
  wide.alignment = effective_alignment(spec);
  if (wide.positions == PositionMode::offset) wide.index_type = IndexType::int32;
  RopeSpec narrow = wide;
  narrow.alignment = static_cast<int>(size_of(spec.dtype));
  if (narrow == wide) return {wide};
  return {wide, narrow};
}

Source render(const RopeSpec& kernel_spec, const LaunchConfig& config, Body body) {
  validate(kernel_spec);
  validate(config);
  Flattener flattener(config_header(kernel_spec, config, body));
  flattener.add("rope.cu");
  return {std::move(flattener).take(), "rope.cu", "ropejit_rope"};
}

const std::vector<std::string>& compile_options() {
  // No contraction: the templates fuse explicitly, and then every path rounds alike.
  static const std::vector<std::string> options = {"--std=c++17", "--fmad=false"};
  return options;
}

}  // namespace ropejit
