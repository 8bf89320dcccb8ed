#ifndef ROPEJIT_TOOLS_RUNTIME_OPTIONS_H_
#define ROPEJIT_TOOLS_RUNTIME_OPTIONS_H_

#include <optional>
#include <string>
#include <string_view>

#include "ropejit/runtime.h"

namespace ropejit {

class Verb;

/// Gives a verb the option --cache-dir.
void add_cache_dir_option(Verb verb, std::optional<std::string>& cache_dir);

/// RuntimeOptions::from_environment() with `cache_dir`, if it was given, and a log that goes to
/// print_note(). Throws Failure(usage) for an empty --cache-dir.
RuntimeOptions runtime_options(const std::optional<std::string>& cache_dir);

/// The same for verbs that cannot do without a cache folder: throws Failure(environment) where
/// nothing names one.
RuntimeOptions runtime_options_with_folder(const std::optional<std::string>& cache_dir);

/// Writes `ropejit: <line>` to stderr. A stderr that cannot be written is no reason to stop.
void print_note(std::string_view line);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_RUNTIME_OPTIONS_H_
