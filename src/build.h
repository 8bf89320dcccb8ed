#ifndef ROPEJIT_SRC_BUILD_H_
#define ROPEJIT_SRC_BUILD_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "cache/cubin_cache.h"
#include "ropejit/config.h"
#include "ropejit/spec.h"
#include "src/compiler.h"
#include "src/counters.h"
#include "src/source.h"

namespace ropejit {

/// One kernel for one architecture.
struct BuildRequest {
  RopeSpec kernel_spec;  ///< one of kernel_specs()
  LaunchConfig config;
  std::string arch;
  Body body = Body::rotate;
};

/// What was built, for people: the kernel's spec and what its config decides about it, such as
/// `d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16, 16 bytes, exchange, 2 heads`.
std::string describe(const BuildRequest& request);

/// A request with all that follows from it: rendered and hashed once, however often it is built.
struct PreparedBuild {
  explicit PreparedBuild(BuildRequest of);

  BuildRequest request;
  std::string source;
  Key key;
};

/// What a lookup in the cache folder may return.
enum class Reuse {
  any_version,   ///< an entry by any compiler version: serving
  this_version,  ///< an entry by the NVRTC at hand: pre-warming
  nothing,       ///< no entry: the driver refused what is there
};

/// A cubin in hand, and where it came from.
struct BuiltCubin {
  Key key;
  Bytes cubin;
  bool compiled;  ///< by this call; else taken from the folder
};

/// Makes cubins, for serving and for pre-warming alike: request -> source -> key -> cache folder or
/// NVRTC. There is no other way to get one. Thread-safe; NVRTC is opened at the first compilation.
class Builder {
 public:
  struct Options {
    std::string cache_dir;  ///< empty: no folder
    bool allow_compile = true;
    std::string nvrtc_library;  ///< empty: the documented search
    std::function<void(std::string_view)> log;
  };
  Builder(Options options, Counters& counters);

  /// Throws Error(not_cached) or Error(compile_failed); whatever the folder does is a miss,
  /// counted, and logged the first time. `before_compiling` is called, if it is there, once NVRTC
  /// is open and has work to do.
  BuiltCubin build(const PreparedBuild& prepared, Reuse reuse,
                   const std::function<void()>& before_compiling = {});
  BuiltCubin build(const BuildRequest& request, Reuse reuse);

  /// The key that build() uses.
  static Key key_of(const BuildRequest& request);

  /// NVRTC, opened if it is not yet. Throws Error(compile_failed).
  const Compiler& compiler();
  bool compiler_opened() const;
  const CubinCache* cache() const noexcept { return cache_.get(); }

 private:
  void log(const std::string& line) const;
  void log_folder_problem(const std::string& line);
  /// The entry for `key`, if there is one that may be used.
  std::optional<Entry> look_up(const Key& key, Reuse reuse);
  Bytes compile(const PreparedBuild& prepared, const std::function<void()>& before_compiling);

  Options options_;
  Counters& counters_;
  std::unique_ptr<const CubinCache> cache_;
  mutable std::mutex compiler_mutex_;
  std::unique_ptr<const Compiler> compiler_;
  std::once_flag folder_problem_logged_;
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_BUILD_H_
