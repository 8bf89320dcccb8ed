#ifndef ROPEJIT_TESTS_MODEL_FIXTURE_H_
#define ROPEJIT_TESTS_MODEL_FIXTURE_H_

#include <string>

#include "ropejit/model.h"

namespace ropejit {

/// The config.json of a model in tests/data/models/.
inline std::string path_of(const std::string& folder) {
  return ROPEJIT_TEST_DATA "/models/" + folder + "/config.json";
}

inline ModelRope parse(const std::string& json) { return parse_model(json, "config.json"); }

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_MODEL_FIXTURE_H_
