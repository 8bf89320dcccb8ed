#include "src/heuristic.h"

namespace ropejit {

LaunchConfig heuristic_config(const RopeSpec& spec, std::int64_t tokens) {
  const bool sequential = spec.layout == Layout::sequential;
  LaunchConfig config;
  config.pairing = sequential ? Pairing::exchange : Pairing::registers;
  if (tokens <= 256) {
    config.access_bytes = 8;
  } else {
    config.heads_per_thread = 2;
  }
  return config;
}

}  // namespace ropejit
