#include "tools/inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "ropejit/error.h"
#include "ropejit/model.h"
#include "tools/exit_code.h"
#include "tools/runtime_options.h"
#include "tools/verb.h"

namespace ropejit {
namespace {

/// Calls `load`; a file that the user named and that cannot be read is bad input.
template <class Load>
auto load_named(Load load) {
  try {
    return load();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::io) throw;
    throw Failure(ExitCode::usage, error.what());
  }
}

std::string config_path(const std::string& model) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(model, ignored)) return model;
  return (std::filesystem::path(model) / "config.json").string();
}

void append(std::vector<Input>& inputs, Input input) {
  const bool known = std::any_of(inputs.begin(), inputs.end(), [&](const Input& other) {
    return other.spec == input.spec && other.frequencies == input.frequencies;
  });
  if (!known) inputs.push_back(std::move(input));
}

/// One input for each of the set's frequencies.
void append_set(std::vector<Input>& inputs, const ModelRope& model, const RotarySet& set,
                const RopeSpec& spec) {
  for (const std::int64_t length : lengths_of(model, set)) {
    std::string origin = model.model;
    if (!set.name.empty()) origin += ", " + set.name;
    if (length != 0) origin += fmt::format(", {} tokens", length);
    append(inputs, {std::move(origin), spec, make_frequencies(set.parameters, length)});
  }
}

/// One layout per model: with --layout, the variants name no other.
void check_one_layout(const InputOptions& options, const ModelRope& model,
                      const std::vector<RopeSpec>& specs) {
  if (options.layout.empty()) return;
  for (const RopeSpec& spec : specs) {
    if (spec.layout == model.spec.layout) continue;
    throw Failure(ExitCode::usage, fmt::format("--layout = {}: contradicts --variants = {}",
                                               options.layout, options.variants));
  }
}

void append_model(std::vector<Input>& inputs, const std::string& path,
                  const InputOptions& options) {
  const ModelRope model = load_named_model(path, options.layout);
  if (model.layout_reason.starts_with("assumed")) {
    print_note(fmt::format("{}: layout {}, {}; `--layout` says otherwise", config_path(path),
                           name(model.spec.layout), model.layout_reason));
  }
  const std::vector<RopeSpec> specs =
      expand_variants(model.spec, options.variants.empty() ? "default" : options.variants);
  check_one_layout(options, model, specs);
  for (const RopeSpec& spec : specs) {
    for (const RotarySet& set : model.rotary) append_set(inputs, model, set, spec);
  }
}

}  // namespace

void add_layout_option(Verb verb, std::string& layout) {
  verb.add_option("--layout", layout, "NAME",
                  "The models' layout, instead of what the file or its model_type says:\n"
                  "interleaved (also gptj, adjacent) or sequential (also neox, rotate_half, half)");
}

void add_input_options(Verb verb, InputOptions& options) {
  verb.add_option("-m,--model", options.models, "FILE",
                  "A model's Hugging Face config.json, or the folder that holds it");
  add_layout_option(verb, options.layout);
  verb.add_option("-s,--spec", options.specs, "FILE",
                  "A JSON file with one spec or a list of them");
  verb.add_option("--variants", options.variants, "SET",
                  "Which variants of each model:\n"
                  "`default`: every position mode, exact angles, forward, 16-byte alignment;\n"
                  "`all`: also both index types, table angles and the inverse;\n"
                  "or `default` with some dimensions replaced, such as\n"
                  "`positions=offset,ragged;direction=forward,inverse`. Dimensions: positions,\n"
                  "index_type, angles, direction, alignment, dtype, layout");
}

ModelRope load_named_model(const std::string& path, const std::string& layout) {
  ModelRope model = load_named([&] { return load_model(config_path(path)); });
  if (layout.empty()) return model;
  model.spec.layout = parse_layout(layout, "--layout");
  model.layout_reason = "--layout";
  return model;
}

std::vector<std::int64_t> lengths_of(const ModelRope& model, const RotarySet& set) {
  if (!depends_on_length(set.parameters)) return {0};
  const std::int64_t trained = set.parameters.original_max_position_embeddings;
  return {trained, std::max(model.max_position_embeddings, 2 * trained)};
}

std::vector<Input> load_inputs(const InputOptions& options) {
  if (options.models.empty() && options.specs.empty()) {
    throw Failure(ExitCode::usage,
                  "nothing to work on: name a --model config.json or a --spec "
                  "spec.json");
  }
  if (options.models.empty() && !options.variants.empty()) {
    throw Failure(ExitCode::usage, "--variants: is for --model; a spec file names its own variant");
  }
  if (options.models.empty() && !options.layout.empty()) {
    throw Failure(ExitCode::usage, "--layout: is for --model; a spec file names its own layout");
  }
  std::vector<Input> inputs;
  for (const std::string& model : options.models) {
    append_model(inputs, model, options);
  }
  for (const std::string& path : options.specs) {
    for (SpecFile& file : load_named([&] { return load_specs(path); })) {
      append(inputs, {path, file.spec, std::move(file.frequencies)});
    }
  }
  return inputs;
}

std::vector<Input> one_per_spec(const std::vector<Input>& inputs) {
  std::vector<Input> result;
  for (const Input& input : inputs) {
    const bool known = std::any_of(result.begin(), result.end(),
                                   [&](const Input& other) { return other.spec == input.spec; });
    if (!known) result.push_back(input);
  }
  return result;
}

std::vector<RopeSpec> specs_of(const std::vector<Input>& inputs) {
  std::vector<RopeSpec> specs;
  for (const Input& input : inputs) specs.push_back(input.spec);
  return specs;
}

}  // namespace ropejit
