#ifndef ROPEJIT_SRC_SPEC_JSON_H_
#define ROPEJIT_SRC_SPEC_JSON_H_

#include "ropejit/model.h"
#include "src/json_value.h"

namespace ropejit {

/// A spec as it stands in a spec file, or in another document that has one. Throws
/// Error(invalid_argument) as parse_specs does, naming the object's place.
SpecFile read_spec(const JsonValue& object);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_SPEC_JSON_H_
