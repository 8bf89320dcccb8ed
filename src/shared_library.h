#ifndef ROPEJIT_SRC_SHARED_LIBRARY_H_
#define ROPEJIT_SRC_SHARED_LIBRARY_H_

#include <string>

#include "ropejit/error.h"

namespace ropejit {

/// A shared library opened at run time (dlopen with RTLD_NOW and RTLD_LOCAL). Movable; closed with
/// its owner unless pinned.
class SharedLibrary {
 public:
  /// `file` is a path, or a bare name for the loader's search. Throws Error(code) with the loader's
  /// words; `code` is also what symbol() throws.
  SharedLibrary(const std::string& file, ErrorCode code);
  SharedLibrary(SharedLibrary&& other) noexcept;
  SharedLibrary& operator=(SharedLibrary&&) = delete;
  ~SharedLibrary();

  /// Leaves the library mapped until the process ends. For libraries that keep threads, exit
  /// handlers or thread-local destructors of their own, which would run into unmapped code.
  void pin() noexcept { pinned_ = true; }

  /// The file that is mapped, as the loader found it.
  const std::string& path() const noexcept { return path_; }
  /// The address of an exported symbol. Throws Error with the loader's words if there is none.
  void* symbol(const char* name) const;

 private:
  void* handle_ = nullptr;
  bool pinned_ = false;
  ErrorCode code_;
  std::string path_;
};

/// A function of a shared library together with the name that it is exported under, which is also
/// its name in error messages.
template <typename Function>
struct EntryPoint {
  EntryPoint(const SharedLibrary& library, const char* exported_name)
      : name(exported_name), function(reinterpret_cast<Function>(library.symbol(exported_name))) {}

  const char* name;
  Function function;
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_SHARED_LIBRARY_H_
