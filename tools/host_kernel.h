#ifndef ROPEJIT_TOOLS_HOST_KERNEL_H_
#define ROPEJIT_TOOLS_HOST_KERNEL_H_

#include <mutex>
#include <string>
#include <vector>

#include "src/shared_library.h"
#include "src/source.h"
#include "templates/params.cuh"

namespace ropejit {

/// A C++ compiler as a command: the program, then its first arguments (`ccache`, `g++`).
struct HostCompiler {
  std::vector<std::string> command;
};

/// The system's C++ compiler: $CXX if it is set (words separated by spaces, no quoting), else the
/// first of c++, g++ and clang++ on $PATH. Throws Error(unsupported) that lists what was tried.
HostCompiler find_host_compiler();

/// A generated kernel, compiled for the host, where it is executed thread by thread. What it
/// computes is what a device computes, up to the sine of 16-bit types (see templates/README.md).
class HostKernel {
 public:
  /// Compiles `source` in a temporary folder of its own (about 0.1 s) and maps the result. No shell
  /// is involved. Throws Error(compile_failed) with the compiler's log and the command.
  HostKernel(const HostCompiler& compiler, const Source& source);

  /// Executes the whole grid; every pointer in `params` is host memory. Returns how many accesses
  /// had an address that is no multiple of their width, each of which would be a fault on a device.
  /// Thread-safe: one run at a time.
  long long run(const kernel::RopeParams& params, unsigned grid, unsigned block) const;

 private:
  using Entry = long long (*)(const kernel::RopeParams*, unsigned, unsigned);
  SharedLibrary library_;
  Entry entry_;
  mutable std::mutex mutex_;  ///< the kernel counts in a static variable
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_HOST_KERNEL_H_
