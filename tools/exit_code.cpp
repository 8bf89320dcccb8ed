#include "tools/exit_code.h"

namespace ropejit {

ExitCode exit_code_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::unsupported:
      return ExitCode::usage;
    case ErrorCode::not_cached:
    case ErrorCode::compile_failed:
    case ErrorCode::driver:
    case ErrorCode::io:
      break;
  }
  return ExitCode::environment;
}

}  // namespace ropejit
