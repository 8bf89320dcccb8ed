#ifndef ROPEJIT_SRC_COMPILER_H_
#define ROPEJIT_SRC_COMPILER_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ropejit {

/// One place where libnvrtc was looked for, in the order of the search.
struct LibraryCandidate {
  /// What is handed to dlopen: a path, or a bare file name for the loader's search.
  std::string path;
  /// Why it is in the list: `given` (by the caller or $ROPEJIT_NVRTC), `loader`, `toolkit`,
  /// `Python wheel`.
  std::string origin;
};

/// Where libnvrtc is looked for, in order: `library` alone if it is not empty; else the loader's
/// own search (LD_LIBRARY_PATH, ldconfig), toolkits ($CUDA_HOME, $CUDA_PATH, $CONDA_PREFIX,
/// /usr/local/cuda, /usr/local/cuda-* from the newest), Python wheels (site-packages of
/// $VIRTUAL_ENV, $CONDA_PREFIX, the user and the system). Only paths that exist are listed, each
/// file once, bare names apart. README.md documents the list.
std::vector<LibraryCandidate> nvrtc_candidates(const std::string& library);

/// NVRTC, opened at run time. Thread-safe: it compiles in parallel.
class Compiler {
 public:
  /// Opens the first candidate that works. Throws Error(compile_failed) that lists every path tried
  /// and why each failed. Takes 20 to 60 ms: the library is 100 MB.
  explicit Compiler(const std::string& library);
  ~Compiler();
  Compiler(const Compiler&) = delete;
  Compiler& operator=(const Compiler&) = delete;

  /// `NVRTC 13.0`.
  const std::string& version() const noexcept;
  /// The candidate that was taken (its path resolved to the file that is mapped).
  const LibraryCandidate& library() const noexcept;
  /// The architectures that it can produce, ascending: 75, 80, 86, ...
  const std::vector<int>& architectures() const noexcept;
  /// Throws Error(invalid_argument) that lists the known ones unless `arch` is `sm_<number>`,
  /// optionally with a suffix `a` or `f`, of an architecture from sm_75 up that this NVRTC
  /// produces.
  void check_arch(std::string_view arch) const;

  /// Compiles one source to a cubin for `arch`; the same input gives the same bytes. Throws
  /// Error(compile_failed) with NVRTC's log, the options and the nvcc command that reproduces it.
  std::vector<std::byte> compile(const std::string& source, const std::string& name,
                                 std::string_view arch, std::span<const std::string> options) const;

 private:
  struct Api;
  std::unique_ptr<const Api> api_;
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_COMPILER_H_
