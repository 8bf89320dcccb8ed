#ifndef ROPEJIT_SRC_MODEL_SCALING_H_
#define ROPEJIT_SRC_MODEL_SCALING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ropejit/scaling.h"
#include "src/model_config.h"

namespace ropejit {

/// How the base and the share of the head that rotates are spelled, on their own and within
/// rope_parameters.
inline constexpr std::string_view kTheta[] = {"rope_theta", "rotary_emb_base"};
inline constexpr std::string_view kPartialFactor[] = {"partial_rotary_factor", "rotary_pct",
                                                      "rope_pct"};

/// The rotary objects (rope_parameters, rope_scaling) that describe one set of layers, and what
/// stands outside of them.
struct ScalingSource {
  const ModelConfig* config;
  std::vector<JsonValue> objects;
  std::int64_t max_position_embeddings;  ///< 0: not known
};

/// The scaling that the objects name; Scaling::none if they name none. Nothing if it is not known.
std::optional<Scaling> find_scaling(const std::vector<JsonValue>& objects);

/// What the objects call their scaling: `rope_scaling.type = yarn`.
std::string scaling_name(const std::vector<JsonValue>& objects);

/// Every type of scaling, for a message.
std::string supported_scalings();

/// Reads the scaling's fields into `parameters`, whose shape and base are set, and validates the
/// whole. Throws Error(invalid_argument) for a field that is missing, bad, not one of the scaling's
/// or contradicted by another.
void read_scaling(const ScalingSource& source, RotaryParameters& parameters);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_MODEL_SCALING_H_
