#include "ropejit/error.h"

namespace ropejit {

std::string_view name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::not_cached:
      return "not_cached";
    case ErrorCode::compile_failed:
      return "compile_failed";
    case ErrorCode::driver:
      return "driver";
    case ErrorCode::io:
      return "io";
  }
  return "unknown";
}

}  // namespace ropejit
