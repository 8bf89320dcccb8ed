#ifndef ROPEJIT_TOOLS_INPUTS_H_
#define ROPEJIT_TOOLS_INPUTS_H_

#include <string>
#include <vector>

#include "ropejit/frequencies.h"
#include "ropejit/spec.h"

namespace ropejit {

class Verb;

/// What prewarm, render and verify work on, as the command line names it.
struct InputOptions {
  std::vector<std::string> models;  ///< config.json files, or folders that hold one
  std::vector<std::string> specs;   ///< spec files
  std::string variants;             ///< of the models; empty: `default`
};

/// Gives a verb the options --model, --spec and --variants.
void add_input_options(Verb verb, InputOptions& options);

/// One spec to work on.
struct Input {
  std::string origin;  ///< for people: `llama (llama-3-8b)`, or the spec file's path
  RopeSpec spec;
  Frequencies frequencies;
};

/// The inputs in the order of the command line, models first, each once. A layout that had to be
/// assumed is said on stderr. Throws Failure(usage) where nothing is named or a file cannot be
/// read, and what the parsers of ropejit/model.h throw.
std::vector<Input> load_inputs(const InputOptions& options);

/// The specs alone.
std::vector<RopeSpec> specs_of(const std::vector<Input>& inputs);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_INPUTS_H_
