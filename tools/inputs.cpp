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

void append_model(std::vector<Input>& inputs, const std::string& path,
                  const std::string& variants) {
  const ModelRope model = load_named([&] { return load_model(path); });
  if (model.layout_reason.starts_with("assumed")) {
    print_note(fmt::format("{}: layout {}, {}; `--variants layout=...` says otherwise", path,
                           name(model.spec.layout), model.layout_reason));
  }
  for (const RopeSpec& spec :
       expand_variants(model.spec, variants.empty() ? "default" : variants)) {
    append(inputs, {model.model, spec, model.frequencies});
  }
}

}  // namespace

void add_input_options(Verb verb, InputOptions& options) {
  verb.add_option("-m,--model", options.models, "FILE",
                  "A model's Hugging Face config.json, or the folder that holds it");
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

std::vector<Input> load_inputs(const InputOptions& options) {
  if (options.models.empty() && options.specs.empty()) {
    throw Failure(ExitCode::usage,
                  "nothing to work on: name a --model config.json or a --spec "
                  "spec.json");
  }
  if (options.models.empty() && !options.variants.empty()) {
    throw Failure(ExitCode::usage, "--variants: is for --model; a spec file names its own variant");
  }
  std::vector<Input> inputs;
  for (const std::string& model : options.models) {
    append_model(inputs, config_path(model), options.variants);
  }
  for (const std::string& path : options.specs) {
    for (SpecFile& file : load_named([&] { return load_specs(path); })) {
      append(inputs, {path, file.spec, std::move(file.frequencies)});
    }
  }
  return inputs;
}

std::vector<RopeSpec> specs_of(const std::vector<Input>& inputs) {
  std::vector<RopeSpec> specs;
  for (const Input& input : inputs) specs.push_back(input.spec);
  return specs;
}

}  // namespace ropejit
