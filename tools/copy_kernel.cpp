#include "tools/copy_kernel.h"

#include <cstddef>

namespace ropejit {
namespace {

constexpr const char* kName = "ropejit_copy";

constexpr const char* kSource = R"(
struct alignas(16) Vector { unsigned word[4]; };
struct CopyParams { Vector* to; const Vector* from; unsigned long long vectors; };

extern "C" __global__ void ropejit_copy(const __grid_constant__ CopyParams p) {
  const unsigned long long i = 1ull * blockIdx.x * blockDim.x + threadIdx.x;
  if (i < p.vectors) p.to[i] = p.from[i];
}
)";

struct CopyParams {
  void* to;
  const void* from;
  unsigned long long vectors;
};

constexpr std::size_t kVectorBytes = 16;

}  // namespace

CopyKernel::CopyKernel(const Compiler& compiler, const Device& device)
    : kernel_(device.load(compiler.compile(kSource, "copy.cu", device.info().arch(), {}), kName)) {}

void CopyKernel::copy_async(void* to, const void* from, std::size_t bytes, unsigned block_threads,
                            CUstream_st* stream) const {
  const std::size_t vectors = (bytes + kVectorBytes - 1) / kVectorBytes;
  const CopyParams params{to, from, vectors};
  const std::size_t blocks = (vectors + block_threads - 1) / block_threads;
  kernel_->launch(&params, static_cast<unsigned>(blocks), block_threads, stream);
}

}  // namespace ropejit
