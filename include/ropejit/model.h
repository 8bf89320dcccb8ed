#ifndef ROPEJIT_MODEL_H_
#define ROPEJIT_MODEL_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ropejit/frequencies.h"
#include "ropejit/scaling.h"
#include "ropejit/spec.h"

namespace ropejit {

/// The rotary parameters that a model's layers share, or those of one type of layer.
struct RotarySet {
  std::string name;  ///< `full_attention`, `sliding_attention`; empty where all layers are alike
  RotaryParameters parameters;
  Frequencies frequencies;  ///< of `parameters`, up to the trained context
};

/// What a Hugging Face config.json says about a model's rotary embedding.
struct ModelRope {
  std::string model;  ///< model_type, and the file's folder or name
  RopeSpec spec;      ///< head_dim, rotary_dim, dtype, layout and head counts are set; a file
                      ///< without a dtype leaves RopeSpec's default
  /// At least one; one for each type of layers where they differ. All have spec.rotary() / 2 pairs:
  /// the kernels of one spec serve every layer.
  std::vector<RotarySet> rotary;
  std::int64_t max_position_embeddings = 0;  ///< tokens that the model is made for; 0: not known
  std::string layout_reason;  ///< why this layout: `model_type gptj`, `rope_interleave = true`,
                              ///< `assumed: ...`
};

/// Reads the text of a config.json; of a multimodal model, its text_config. Old and new spellings
/// of a field are read (`rope_scaling` and transformers 5's `rope_parameters`, `rotary_pct`,
/// `n_head`, `torch_dtype`, ...), and what a family's files omit has the default of its config
/// class. `origin` (a path, say) prefixes every message. Throws Error(invalid_argument) for
/// malformed JSON (with line and column), a bad or missing field, a field that its scaling would
/// not read, or fields that contradict each other; Error(unsupported) that names everything in the
/// way of a rotation of the head's first dimensions: a scaling that is not known, mrope_section,
/// multi-head latent attention, layers of different shapes. Thread-safe.
ModelRope parse_model(std::string_view json, const std::string& origin);
/// Reads a file; Error(io) if it cannot be read.
ModelRope load_model(const std::string& path);

/// A spec as a JSON file describes it, with the frequencies to verify it with.
struct SpecFile {
  RopeSpec spec;
  Frequencies frequencies;  ///< of `theta`; also with AngleSource::table, to make the table from
};

/// Reads the text of a spec file: one JSON object, or a list of them. Keys are the fields of
/// RopeSpec by name, and `theta` (10000 if absent). README.md has an example. Throws
/// Error(invalid_argument) for malformed JSON (with line and column), an unknown key (naming the
/// nearest known one), a wrong type or a bad value, prefixed by `origin`.
std::vector<SpecFile> parse_specs(std::string_view json, const std::string& origin);
std::vector<SpecFile> load_specs(const std::string& path);

/// The spec as a JSON object that parse_specs reads back.
std::string to_json(const RopeSpec& spec);

/// The specs of a model that a deployment usually needs, from its `base` spec. `variants` is one of
///   `default`: every position mode (token_ids with int32 and int64, the others with int32), exact
///     angles, forward, alignment 16;
///   `all`: every position mode with both index types, exact and table angles, forward and inverse,
///     alignment 16;
///   a list such as `positions=offset,token_ids;direction=forward,inverse` that sets the values of
///     the named dimensions: `positions`, `index_type`, `angles`, `direction`, `alignment`,
///     `dtype`, `layout`. One that is not named keeps its values of `default`; dtype and layout are
///     base's.
/// The result is the product, positions outermost, then in the order of that list, each dimension
/// in the order given (else the enum's), without duplicates; `offset`, which ignores the index
/// type, has int32. Throws Error(invalid_argument) that names the nearest known word for an unknown
/// one, or the field that makes a combination invalid.
std::vector<RopeSpec> expand_variants(const RopeSpec& base, std::string_view variants);

}  // namespace ropejit

#endif  // ROPEJIT_MODEL_H_
