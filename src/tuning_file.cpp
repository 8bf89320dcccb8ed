#include "src/tuning_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <tuple>

#include "src/source.h"

namespace ropejit {
namespace {

std::string quoted(const std::string& text) {
  using Json = nlohmann::json;
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string json_of(const DeviceClass& device_class) {
  return fmt::format(R"({{"major": {}, "minor": {}, "sm_count": {}, "l2_bytes": {}}})",
                     device_class.major, device_class.minor, device_class.sm_count,
                     device_class.l2_bytes);
}

std::string json_of(const SpecClass& spec) {
  return fmt::format(R"({{"head_dim": {}, "rotary_dim": {}, "dtype": "{}", "layout": "{}", )"
                     R"("q_heads": {}, "kv_heads": {}, "positions": "{}", "angles": "{}", )"
                     R"("alignment": {}}})",
                     spec.head_dim, spec.rotary_dim, name(spec.dtype), name(spec.layout),
                     spec.q_heads, spec.kv_heads, name(spec.positions), name(spec.angles),
                     spec.alignment);
}

std::string json_of(const MeasuredConfig& measured) {
  const auto& [threads, bytes, pairing, heads, streaming] = measured.config;
  return fmt::format(R"({{"config": {{"block_threads": {}, "access_bytes": {}, "pairing": "{}", )"
                     R"("heads_per_thread": {}, "streaming_stores": {}}}, )"
                     R"("us": {:.5g}, "low": {:.5g}, "high": {:.5g}}})",
                     threads, bytes, name(pairing), heads, streaming, measured.us, measured.low,
                     measured.high);
}

std::string json_of(const TuningEntry& entry) {
  std::string text = fmt::format(R"({{"tokens": {}, "samples": {}, "chosen": {})", entry.tokens,
                                 entry.samples, json_of(entry.chosen));
  if (entry.baseline) text += fmt::format(R"(, "default": {})", json_of(*entry.baseline));
  return text + "}";
}

/// The items as a list that stands on lines of its own, each item on one or more.
template <typename Items, typename Print>
std::string list_of(const Items& items, std::string_view indent, Print print) {
  if (items.empty()) return "[]";
  std::string text = "[";
  std::string_view comma;
  for (const auto& item : items) {
    text += fmt::format("{}\n{}  {}", comma, indent, print(item));
    comma = ",";
  }
  return fmt::format("{}\n{}]", text, indent);
}

std::string json_of(const TuningProvenance& from) {
  constexpr std::string_view kLine = "\n        ";
  return fmt::format(
      "{{{0}\"device\": {1},{0}\"driver\": {2},{0}\"compiler\": {3},{0}\"ropejit\": {4},"
      "{0}\"date\": {5},{0}\"command\": {6}\n      }}",
      kLine, quoted(from.device), quoted(from.driver), quoted(from.compiler), quoted(from.ropejit),
      quoted(from.date), quoted(from.command));
}

std::string json_of(const TuningRun& run) {
  std::map<SpecClass, std::vector<TuningEntry>> by_spec;
  for (const TuningEntry& entry : run.entries) by_spec[entry.spec].push_back(entry);
  for (auto& [spec, entries] : by_spec) {
    std::stable_sort(
        entries.begin(), entries.end(),
        [](const TuningEntry& x, const TuningEntry& y) { return x.tokens < y.tokens; });
  }
  constexpr std::string_view kLine = "\n      ";
  const auto print_spec = [&](const auto& item) {
    return fmt::format("{{\n          \"spec\": {},\n          \"entries\": {}\n        }}",
                       json_of(item.first),
                       list_of(item.second, "          ",
                               [](const TuningEntry& entry) { return json_of(entry); }));
  };
  std::string aliases;
  for (const std::string& alias : run.aliases) {
    aliases += fmt::format("{}{}", aliases.empty() ? "" : ", ", quoted(alias));
  }
  return fmt::format(
      "{{{0}\"device_class\": {1},{0}\"aliases\": [{2}],{0}\"provenance\": {3},{0}\"specs\": "
      "{4}\n    }}",
      kLine, json_of(run.device_class), aliases, json_of(run.provenance),
      list_of(by_spec, "      ", print_spec));
}

}  // namespace

SpecClass spec_class(const RopeSpec& spec) {
  return {spec.head_dim,  spec.rotary(), spec.dtype,
          spec.layout,    spec.q_heads,  spec.kv_heads,
          spec.positions, spec.angles,   effective_alignment(spec)};
}

RopeSpec spec_of(const SpecClass& spec_class) {
  RopeSpec spec;
  spec.head_dim = spec_class.head_dim;
  spec.rotary_dim = spec_class.rotary_dim;
  spec.dtype = spec_class.dtype;
  spec.layout = spec_class.layout;
  spec.q_heads = spec_class.q_heads;
  spec.kv_heads = spec_class.kv_heads;
  spec.positions = spec_class.positions;
  spec.angles = spec_class.angles;
  spec.alignment = spec_class.alignment;
  return spec;
}

std::string describe(const SpecClass& spec) {
  return fmt::format("d{} r{} {} {} q{} kv{} {} {} a{}", spec.head_dim, spec.rotary_dim,
                     name(spec.dtype), name(spec.layout), spec.q_heads, spec.kv_heads,
                     name(spec.positions), name(spec.angles), spec.alignment);
}

std::string to_json(const TuningFile& file) {
  return fmt::format("{{\n  \"schema\": {},\n  \"runs\": {}\n}}\n", kTuningSchema,
                     list_of(file.runs, "  ", [](const TuningRun& run) { return json_of(run); }));
}

}  // namespace ropejit
