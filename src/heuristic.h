#ifndef ROPEJIT_SRC_HEURISTIC_H_
#define ROPEJIT_SRC_HEURISTIC_H_

#include <cstdint>

#include "ropejit/config.h"
#include "ropejit/spec.h"

namespace ropejit {

/// The config for a call of `tokens` tokens where nothing measured says better: one for few tokens
/// and one for many, from measurements on an H200 over dtypes, layouts and head sizes
/// (docs/performance.md). `spec` is a kernel's (see kernel_specs()).
LaunchConfig heuristic_config(const RopeSpec& spec, std::int64_t tokens);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_HEURISTIC_H_
