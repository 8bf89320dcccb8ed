#ifndef ROPEJIT_MODEL_H_
#define ROPEJIT_MODEL_H_

#include <string>
#include <string_view>
#include <vector>

#include "ropejit/frequencies.h"
#include "ropejit/spec.h"

namespace ropejit {

/// What a Hugging Face config.json says about a model's rotary embedding.
struct ModelRope {
  std::string model;  ///< model_type, and the file's folder or name
  RopeSpec spec;      ///< head_dim, rotary_dim, dtype, layout and head counts are set
  Frequencies frequencies;
  double theta = 10000.0;
  std::string layout_reason;  ///< why this layout: `model_type gptj`, ...
};

/// Reads the text of a config.json. `origin` (a path, say) prefixes every message. Throws
/// Error(invalid_argument) for malformed JSON (with line and column) or a bad or missing field, and
/// Error(unsupported) that names a rotary scaling type that is not supported yet.
ModelRope parse_model(std::string_view json, const std::string& origin);
/// Reads a file; Error(io) if it cannot be read.
ModelRope load_model(const std::string& path);

/// A spec as a JSON file describes it, with the frequencies to verify it with.
struct SpecFile {
  RopeSpec spec;
  Frequencies frequencies;
};

/// Reads the text of a spec file: one JSON object, or a list of them. Keys are the fields of
/// RopeSpec by name, and `theta` (10000 if absent). README.md has an example. Throws
/// Error(invalid_argument) for malformed JSON (with line and column), an unknown key (naming the
/// nearest known one), a wrong type or a bad value, prefixed by `origin`.
std::vector<SpecFile> parse_specs(std::string_view json, const std::string& origin);
std::vector<SpecFile> load_specs(const std::string& path);

/// The spec as a JSON object that parse_specs reads back.
std::string to_json(const RopeSpec& spec);

/// The specs of a model that a deployment usually needs, from its `base` spec. `variants` is
/// `default`, `all`, or a list such as `positions=offset,token_ids;direction=forward,inverse` that
/// sets the values of the named dimensions: `positions`, `index_type`, `angles`, `direction`,
/// `alignment`, `dtype`, `layout`. A dimension that is not named keeps its default values. Throws
/// Error(invalid_argument).
std::vector<RopeSpec> expand_variants(const RopeSpec& base, std::string_view variants);

}  // namespace ropejit

#endif  // ROPEJIT_MODEL_H_
