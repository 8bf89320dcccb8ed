#include "ropejit/config.h"

#include <fmt/format.h>

#include "ropejit/error.h"

namespace ropejit {

void validate(const LaunchConfig& config) {
  if (config.block_threads < 32 || config.block_threads > 1024) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("block_threads = {}: must be from 32 to 1024", config.block_threads));
  }
}

}  // namespace ropejit
