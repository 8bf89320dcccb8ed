#ifndef ROPEJIT_SRC_MODEL_FAMILY_H_
#define ROPEJIT_SRC_MODEL_FAMILY_H_

#include <string_view>

#include "ropejit/spec.h"

namespace ropejit {

/// What a `model_type` implies about the rotary embedding and its config.json does not say: the
/// layout, and the defaults that the family's config class fills in for fields that are absent.
struct ModelFamily {
  std::string_view model_type;
  Layout layout = Layout::sequential;
  int head_dim = 0;             ///< 0: hidden_size / num_attention_heads
  double partial_factor = 1.0;  ///< share of head_dim that rotates
  int rotary_dim = 0;           ///< absolute, instead of a share; 0: use the share
  double theta = 10000.0;
  double local_theta = 0.0;  ///< of sliding-window layers; 0: as all others
  bool multi_query = false;  ///< one key/value head unless the file says otherwise
  int q_heads = 0;           ///< 0: the file has to say
  int kv_heads = 0;          ///< 0: as many as query heads
  int max_position_embeddings = 0;
};

/// The family of a `model_type`; nullptr for one that is not in the table.
const ModelFamily* find_family(std::string_view model_type) noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_SRC_MODEL_FAMILY_H_
