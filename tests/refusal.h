#ifndef ROPEJIT_TESTS_REFUSAL_H_
#define ROPEJIT_TESTS_REFUSAL_H_

#include <string>

#include "ropejit/error.h"

namespace ropejit {

/// What `call` complains of, as `code: message`; `accepted` if it does not throw.
template <typename Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return std::string(name(error.code())) + ": " + error.what();
  }
  return "accepted";
}

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_REFUSAL_H_
