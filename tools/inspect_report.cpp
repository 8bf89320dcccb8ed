#include "tools/inspect_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "tools/inputs.h"
#include "tools/wavelength_plot.h"

namespace ropejit {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kTwoPi = 6.283185307179586;
constexpr std::string_view kMarks = "*o+x%@";

/// The base and the scaling's own parameters, those that are absent left out.
Json parameters_of(const RotaryParameters& p) {
  Json json = {{"theta", p.theta}};
  const auto add = [&](const char* key, const std::optional<double>& value) {
    if (value) json[key] = *value;
  };
  if (p.scaling != Scaling::none) json["factor"] = p.factor;
  if (p.original_max_position_embeddings != 0) {
    json["original_max_position_embeddings"] = p.original_max_position_embeddings;
  }
  if (p.scaling == Scaling::yarn || p.scaling == Scaling::longrope) {
    add("attention_factor", p.attention_factor);
  }
  if (p.scaling == Scaling::yarn) {
    json["beta_fast"] = p.beta_fast;
    json["beta_slow"] = p.beta_slow;
    add("mscale", p.mscale);
    add("mscale_all_dim", p.mscale_all_dim);
    json["truncate"] = p.truncate;
  }
  if (p.scaling == Scaling::longrope) {
    json["short_factor"] = p.short_factor;
    json["long_factor"] = p.long_factor;
  }
  if (p.scaling == Scaling::llama3) {
    json["low_freq_factor"] = p.low_freq_factor;
    json["high_freq_factor"] = p.high_freq_factor;
  }
  return json;
}

/// `500000`, `48 numbers from 1.1 to 2.8`.
std::string text_of(const Json& value) {
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  if (!value.is_array()) return value.dump();
  const auto list = value.get<std::vector<double>>();
  const auto [least, most] = std::minmax_element(list.begin(), list.end());
  return fmt::format("{} numbers from {:.6g} to {:.6g}", list.size(), *least, *most);
}

std::string line(std::string_view key, const std::string& value) {
  return fmt::format("  {:<19}{}\n", key, value);
}

std::string pair_line(std::string_view key, std::uint64_t turns) {
  if (turns == 0) return line(key, "stands still");
  return line(key, fmt::format("{:.6g} radians per position, a turn in {:.6g} positions",
                               frequency(turns), wavelength(turns)));
}

/// Pairs that stand still are the last ones.
std::size_t still_pairs(const Frequencies& frequencies) {
  return static_cast<std::size_t>(
      std::count(frequencies.turns.begin(), frequencies.turns.end(), 0U));
}

/// `up to 4096 tokens`: what the frequencies of one length stand for.
std::string length_name(const InspectedSet& set, const InspectedFrequencies& at) {
  const std::int64_t trained = set.set.parameters.original_max_position_embeddings;
  if (at.length <= trained) return fmt::format("up to {} tokens", trained);
  if (set.set.parameters.scaling == Scaling::longrope) {
    return fmt::format("beyond {} tokens", trained);
  }
  return fmt::format("at {} tokens", at.length);
}

/// `full_attention, up to 4096 tokens`; empty where there is nothing to tell apart.
std::string curve_name(const InspectedSet& set, const InspectedFrequencies& at) {
  if (at.length == 0) return set.set.name;
  return set.set.name + (set.set.name.empty() ? "" : ", ") + length_name(set, at);
}

std::string text_of(const ModelRope& model) {
  const RopeSpec& spec = model.spec;
  const std::int64_t context = model.max_position_embeddings;
  return model.model + "\n" +
         line("heads", fmt::format("{} query, {} key/value", spec.q_heads, spec.kv_heads)) +
         line("head_dim", std::to_string(spec.head_dim)) +
         line("rotary_dim", std::to_string(spec.rotary())) +
         line("dtype", std::string(name(spec.dtype))) +
         line("layout", fmt::format("{} ({})", name(spec.layout), model.layout_reason)) +
         line("context", context == 0 ? "not known" : fmt::format("{} tokens", context));
}

std::string text_of(const InspectedSet& inspected) {
  const auto& [set, lengths] = inspected;
  std::vector<std::string> parameters;
  const Json named = parameters_of(set.parameters);
  for (const auto& [key, value] : named.items()) {
    parameters.push_back(fmt::format("{} {}", key, text_of(value)));
  }
  std::string text = "\n" + (set.name.empty() ? "all layers" : set.name) + "\n";
  text += line("scaling", std::string(name(set.parameters.scaling)));
  text += line("parameters", fmt::format("{}", fmt::join(parameters, "\n" + std::string(21, ' '))));
  text += line("attention factor", fmt::format("{:.8g}", set.frequencies.attention_factor));
  for (const InspectedFrequencies& at : lengths) {
    const std::vector<std::uint64_t>& turns = at.frequencies.turns;
    if (at.length != 0) text += fmt::format("  {}\n", length_name(inspected, at));
    text += pair_line("first pair", turns.front());
    text += pair_line("last pair", turns.back());
    if (const std::size_t still = still_pairs(at.frequencies)) {
      text += line("pairs that turn", fmt::format("{} of {}", turns.size() - still, turns.size()));
    }
  }
  return text;
}

/// The contexts: the one before a stretch, where it is told, and the one that the model is made
/// for, which is the same without a stretch.
std::vector<MarkedWavelength> contexts_of(const ModelReport& report) {
  std::vector<MarkedWavelength> marked;
  bool stretched = false;
  for (const auto& [set, lengths] : report.sets) {
    const std::int64_t trained = set.parameters.original_max_position_embeddings;
    stretched = stretched || set.parameters.scaling != Scaling::none;
    const MarkedWavelength mark{static_cast<double>(trained),
                                fmt::format("{} trained context", trained)};
    const bool known = std::any_of(marked.begin(), marked.end(), [&](const auto& other) {
      return other.positions == mark.positions;
    });
    if (trained != 0 && !known) marked.push_back(mark);
  }
  const std::int64_t context = report.model.max_position_embeddings;
  const bool known = std::any_of(marked.begin(), marked.end(), [&](const auto& other) {
    return other.positions == static_cast<double>(context);
  });
  if (context == 0 || known) return marked;
  marked.push_back({static_cast<double>(context),
                    fmt::format("{} {}context", context, stretched ? "" : "trained ")});
  return marked;
}

std::vector<double> wavelengths(const Frequencies& frequencies) {
  std::vector<double> result;
  for (const std::uint64_t turns : frequencies.turns) result.push_back(wavelength(turns));
  return result;
}

std::string plot_of(const ModelReport& report) {
  std::vector<WavelengthCurve> curves;
  std::vector<std::string> legend;
  for (const InspectedSet& set : report.sets) {
    for (const InspectedFrequencies& at : set.lengths) {
      const char mark = kMarks[curves.size() % kMarks.size()];
      curves.push_back({mark, wavelengths(at.frequencies)});
      if (const std::string name = curve_name(set, at); !name.empty()) {
        legend.push_back(fmt::format("{} {}", mark, name));
      }
    }
  }
  return fmt::format("\npositions per turn, by pair{}{}\n{}", legend.empty() ? "" : ": ",
                     fmt::join(legend, "; "), plot_wavelengths(curves, contexts_of(report)));
}

std::string text_of(const std::vector<RopeSpec>& kernels) {
  std::string text = "\nkernels\n";
  for (const RopeSpec& spec : kernels) text += fmt::format("  {}\n", describe(spec));
  return text;
}

Json json_of(const InspectedFrequencies& at) {
  Json by_pair = Json::array();
  for (const std::uint64_t turns : at.frequencies.turns) {
    by_pair.push_back(turns == 0 ? Json() : Json(wavelength(turns)));
  }
  return {{"length", at.length == 0 ? Json() : Json(at.length)},
          {"first_frequency", frequency(at.frequencies.turns.front())},
          {"last_frequency", frequency(at.frequencies.turns.back())},
          {"wavelengths", std::move(by_pair)}};
}

Json json_of(const InspectedSet& inspected) {
  const auto& [set, lengths] = inspected;
  Json frequencies = Json::array();
  for (const InspectedFrequencies& at : lengths) frequencies.push_back(json_of(at));
  return {{"name", set.name.empty() ? Json() : Json(set.name)},
          {"scaling", name(set.parameters.scaling)},
          {"parameters", parameters_of(set.parameters)},
          {"attention_factor", set.frequencies.attention_factor},
          {"depends_on_length", depends_on_length(set.parameters)},
          {"frequencies", std::move(frequencies)}};
}

Json json_of(const ModelReport& report) {
  const ModelRope& model = report.model;
  Json sets = Json::array();
  for (const InspectedSet& set : report.sets) sets.push_back(json_of(set));
  Json kernels = Json::array();
  for (const RopeSpec& spec : report.kernels) kernels.push_back(Json::parse(to_json(spec)));
  const std::int64_t context = model.max_position_embeddings;
  return {{"model", model.model},
          {"q_heads", model.spec.q_heads},
          {"kv_heads", model.spec.kv_heads},
          {"head_dim", model.spec.head_dim},
          {"rotary_dim", model.spec.rotary()},
          {"dtype", name(model.spec.dtype)},
          {"layout", name(model.spec.layout)},
          {"layout_reason", model.layout_reason},
          {"max_position_embeddings", context == 0 ? Json() : Json(context)},
          {"rotary", std::move(sets)},
          {"kernels", std::move(kernels)}};
}

}  // namespace

ModelReport inspect_model(ModelRope model) {
  ModelReport report{std::move(model), {}, {}};
  for (const RotarySet& set : report.model.rotary) {
    InspectedSet inspected{set, {}};
    for (const std::int64_t length : lengths_of(report.model, set)) {
      inspected.lengths.push_back({length, make_frequencies(set.parameters, length)});
    }
    report.sets.push_back(std::move(inspected));
  }
  report.kernels = expand_variants(report.model.spec, "default");
  return report;
}

double frequency(std::uint64_t turns) {
  return std::ldexp(static_cast<double>(turns), -64) * kTwoPi;
}

double wavelength(std::uint64_t turns) { return std::ldexp(1.0, 64) / static_cast<double>(turns); }

std::string to_text(const ModelReport& report) {
  std::string text = text_of(report.model);
  for (const InspectedSet& set : report.sets) text += text_of(set);
  return text + plot_of(report) + text_of(report.kernels);
}

std::string to_json(std::span<const ModelReport> reports) {
  Json models = Json::array();
  for (const ModelReport& report : reports) models.push_back(json_of(report));
  return Json{{"models", std::move(models)}}.dump(2, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

}  // namespace ropejit
