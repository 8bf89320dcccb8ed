#ifndef ROPEJIT_TOOLS_INPUTS_H_
#define ROPEJIT_TOOLS_INPUTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ropejit/frequencies.h"
#include "ropejit/model.h"
#include "ropejit/spec.h"

namespace ropejit {

class Verb;

/// What prewarm, render and verify work on, as the command line names it.
struct InputOptions {
  std::vector<std::string> models;  ///< config.json files, or folders that hold one
  std::vector<std::string> specs;   ///< spec files
  std::string variants;             ///< of the models; empty: `default`
  std::string layout;               ///< of the models, by any of its names; empty: as they have it
};

/// Gives a verb the option --layout.
void add_layout_option(Verb verb, std::string& layout);

/// Gives a verb the options --model, --layout, --spec and --variants.
void add_input_options(Verb verb, InputOptions& options);

/// One spec to work on.
struct Input {
  /// For people: `llama (llama-3-8b)`, `gemma3_text (gemma-3-4b), sliding_attention`, or the spec
  /// file's path.
  std::string origin;
  RopeSpec spec;
  Frequencies frequencies;
};

/// The model that `path`, a config.json or the folder that holds one, describes, with `layout` by
/// any of its names instead of its own unless that is empty. Throws Failure(usage) where the file
/// cannot be read, and what load_model() and parse_layout() throw.
ModelRope load_named_model(const std::string& path, const std::string& layout);

/// The lengths of sequences, in tokens, that show all of a set's frequencies: 0, which is any;
/// where they depend on the length, the trained context and a longer one.
std::vector<std::int64_t> lengths_of(const ModelRope& model, const RotarySet& set);

/// The inputs in the order of the command line, models first, each once: of a model, every spec
/// with every set of frequencies that its layers or the length of the sequence may ask for. A
/// layout that had to be assumed is said on stderr. Throws Failure(usage) where nothing is named or
/// a file cannot be read, and what the parsers of ropejit/model.h throw.
std::vector<Input> load_inputs(const InputOptions& options);

/// The first input of every spec: what does not depend on frequencies needs no more.
std::vector<Input> one_per_spec(const std::vector<Input>& inputs);

/// The specs alone.
std::vector<RopeSpec> specs_of(const std::vector<Input>& inputs);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_INPUTS_H_
