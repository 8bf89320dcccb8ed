#ifndef ROPEJIT_SRC_MODEL_ROTARY_H_
#define ROPEJIT_SRC_MODEL_ROTARY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ropejit/model.h"
#include "src/model_config.h"

namespace ropejit {

/// The context that the model is made for: the file's, else its family's default, else 0.
std::int64_t read_max_position_embeddings(const ModelConfig& config);

/// What is in the way of reading the config's rotary parameters, one sentence each: mrope, a type
/// of scaling that is not known.
std::vector<std::string> rotary_obstacles(const ModelConfig& config);

/// The rotary parameter sets of a config without obstacles. Throws Error(invalid_argument) for a
/// field that is missing, bad, not one of its scaling's or contradicted by another;
/// Error(unsupported) where layers differ in how many dimensions they rotate.
std::vector<RotarySet> read_rotary_sets(const ModelConfig& config, int head_dim);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_MODEL_ROTARY_H_
