#ifndef ROPEJIT_CONFIG_H_
#define ROPEJIT_CONFIG_H_

#include "ropejit/spec.h"

namespace ropejit {

/// How a spec is computed: what may be tuned without changing the result.
struct LaunchConfig {
  /// Threads per block aimed at, 32 to 1024. A block takes whole head rows: the count in effect is
  /// the largest multiple of a row's threads that is not above, and never less than one row.
  int block_threads = 128;

  bool operator==(const LaunchConfig&) const = default;
};

/// Throws Error(invalid_argument) that names the field that breaks its rule.
void validate(const LaunchConfig& config);

}  // namespace ropejit

#endif  // ROPEJIT_CONFIG_H_
