#ifndef ROPEJIT_TOOLS_EXIT_CODE_H_
#define ROPEJIT_TOOLS_EXIT_CODE_H_

#include <stdexcept>
#include <string>

#include "ropejit/error.h"

namespace ropejit {

/// What `ropejit` exits with. Part of the interface: scripts rely on the numbers.
enum class ExitCode {
  ok = 0,
  failed = 1,       ///< the work was done and a kernel, a case or an entry failed
  usage = 2,        ///< bad usage or bad input: doing the same elsewhere would fail as well
  environment = 3,  ///< this machine lacks something: a driver, NVRTC, a folder to write to
};

/// The lines about exit codes that every verb's help ends with.
inline constexpr const char* kExitCodesHelp =
    "Exit codes: 0 done; 1 a kernel, case or cache entry failed; 2 bad usage or bad input;\n"
    "            3 this machine lacks something (driver, NVRTC, compiler, writable folder)";

/// Ends the tool with a message and a code.
class Failure : public std::runtime_error {
 public:
  Failure(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

/// What an Error of the library means for the tool, unless the verb knows better.
ExitCode exit_code_of(ErrorCode code) noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_EXIT_CODE_H_
