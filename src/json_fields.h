#ifndef ROPEJIT_SRC_JSON_FIELDS_H_
#define ROPEJIT_SRC_JSON_FIELDS_H_

#include <span>
#include <string>
#include <string_view>

#include "src/json_value.h"

namespace ropejit {

// Reading JSON objects whose keys are known.

/// `a.json: runs[1]: `, what stands before a complaint about a whole object.
std::string prefix(const JsonValue& object);

/// Throws Error(invalid_argument) for a key that is not among `known`, naming the nearest of them.
void check_keys(const JsonValue& object, std::span<const std::string_view> known);

/// The member. Throws Error(invalid_argument) that says that `what`, such as `a spec`, must have
/// it.
JsonValue require(const JsonValue& object, std::string_view key, std::string_view what);

/// A word, by one of the parsers of ropejit/spec.h.
template <typename Enum>
Enum to_enum(const JsonValue& value, Enum (*parse)(std::string_view, std::string_view)) {
  return parse(value.to_text(), value.origin() + ": " + value.path());
}

}  // namespace ropejit

#endif  // ROPEJIT_SRC_JSON_FIELDS_H_
