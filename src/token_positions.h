#ifndef ROPEJIT_SRC_TOKEN_POSITIONS_H_
#define ROPEJIT_SRC_TOKEN_POSITIONS_H_

#include <cstdint>
#include <vector>

#include "ropejit/args.h"
#include "ropejit/spec.h"

namespace ropejit {

/// One token of a call, on the host.
struct TokenPosition {
  std::int64_t batch;  ///< index of its row in the tensors; 0 with PositionMode::ragged
  std::int64_t seq;    ///< likewise
  std::int64_t position;
};

/// Every token that the call rotates, in order; positions and cu_seqlens are read on the host.
/// Tokens that belong to no sequence are left out.
std::vector<TokenPosition> token_positions(const RopeSpec& spec, const RopeArgs& args);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_TOKEN_POSITIONS_H_
