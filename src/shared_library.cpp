#include "src/shared_library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <utility>

namespace ropejit {
namespace {

/// The loader's words for this thread's last failure, after the name of the file that they are
/// about. Often they begin with it already, but not when a dependency is what is missing.
std::string loader_message(const std::string& file) {
  const char* words = dlerror();
  const std::string message = words != nullptr ? words : "the loader gives no reason";
  return message.starts_with(file + ':') ? message : fmt::format("{}: {}", file, message);
}

/// The mapped file's path. A bare name was looked up by the loader, which remembers where.
std::string mapped_path(void* handle, const std::string& file) {
  const link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr || *map->l_name == '\0') {
    return file;
  }
  return map->l_name;
}

}  // namespace

SharedLibrary::SharedLibrary(const std::string& file, ErrorCode code) : code_(code) {
  // An empty name would open the program itself.
  if (file.empty()) throw Error(code, "cannot open a shared library without a name");
  handle_ = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ == nullptr) throw Error(code, loader_message(file));
  path_ = mapped_path(handle_, file);
}

SharedLibrary::SharedLibrary(SharedLibrary&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      pinned_(other.pinned_),
      code_(other.code_),
      path_(std::move(other.path_)) {}

SharedLibrary::~SharedLibrary() {
  if (handle_ != nullptr && !pinned_) dlclose(handle_);
}

void* SharedLibrary::symbol(const char* name) const {
  void* address = dlsym(handle_, name);
  if (address == nullptr) throw Error(code_, loader_message(path_));
  return address;
}

}  // namespace ropejit
