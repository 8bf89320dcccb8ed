#ifndef ROPEJIT_TOOLS_COPY_KERNEL_H_
#define ROPEJIT_TOOLS_COPY_KERNEL_H_

#include <cstddef>
#include <memory>

#include "src/compiler.h"
#include "src/driver.h"

namespace ropejit {

/// The plainest copy: each thread moves one vector of 16 bytes. Unlike cudaMemcpyAsync, which
/// chooses by size among ways of its own, it streams as a rotation that costs nothing would.
class CopyKernel {
 public:
  /// Compiles and loads it. Throws Error(compile_failed) and Error(driver).
  CopyKernel(const Compiler& compiler, const Device& device);

  /// Copies `bytes`, rounded up to a multiple of 16, between addresses that are multiples of 16,
  /// by blocks of `block_threads` threads.
  void copy_async(void* to, const void* from, std::size_t bytes, unsigned block_threads,
                  CUstream_st* stream) const;

 private:
  std::shared_ptr<const Kernel> kernel_;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_COPY_KERNEL_H_
