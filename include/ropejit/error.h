#ifndef ROPEJIT_ERROR_H_
#define ROPEJIT_ERROR_H_

#include <stdexcept>
#include <string>
#include <string_view>

namespace ropejit {

/// Why a call failed. One value per kind of reaction that a caller can have.
enum class ErrorCode {
  invalid_argument,  ///< a spec, config or argument breaks a rule; the message names field, value,
                     ///< rule
  unsupported,       ///< well formed, but this version or this device cannot do it
  not_cached,        ///< compiling is switched off and the cache has no entry for the kernel
  compile_failed,    ///< NVRTC is missing or refused the source; the message carries its log
  driver,  ///< libcuda is missing or a driver call failed; the message names call and error
  io,      ///< a file that the caller named cannot be read or written
};

/// The code's name as written above, for logs and `--json`.
std::string_view name(ErrorCode code) noexcept;

/// The only exception type that ropejit throws (std::bad_alloc apart). When it is thrown, nothing
/// was launched and no buffer of the caller was touched. Immutable, hence safe to share between
/// threads.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace ropejit

#endif  // ROPEJIT_ERROR_H_
