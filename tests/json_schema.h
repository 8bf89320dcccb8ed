#ifndef ROPEJIT_TESTS_JSON_SCHEMA_H_
#define ROPEJIT_TESTS_JSON_SCHEMA_H_

#include <string>
#include <vector>

namespace ropejit {

/// Where a JSON document breaks a JSON Schema, as `runs[0].entries: must be ...`. Knows the
/// keywords that tuned/schema.json uses, and throws std::logic_error for any other: none is passed
/// over.
std::vector<std::string> schema_violations(const std::string& schema, const std::string& document);

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_JSON_SCHEMA_H_
