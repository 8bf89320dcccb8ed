// The memory of the libcuda for machines without a GPU: allocations, copies and fills.

#define ROPEJIT_STUB_CUDA ""  // the header's accessors are for the other side

#include <cuda.h>

#include <cstdlib>
#include <cstring>

#include "tests/stub_cuda.h"
#include "tests/stub_cuda_device.h"

using namespace stub_cuda_device;

extern "C" {

CUresult cuMemAlloc(CUdeviceptr* address, std::size_t bytes) {
  return enter_unsafe("cuMemAlloc_v2", [=] {
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    void* memory = std::malloc(bytes);
    if (memory == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    allocations[memory] = bytes;
    ++state.live.allocations;
    *address = reinterpret_cast<CUdeviceptr>(memory);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemFree(CUdeviceptr address) {
  return enter_unsafe("cuMemFree_v2", [=] {
    if (allocations.erase(pointer(address)) == 0) return CUDA_ERROR_INVALID_VALUE;
    std::free(pointer(address));
    --state.live.allocations;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return enter_unsafe("cuMemHostAlloc", [=] {
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    *memory = std::malloc(bytes);
    if (*memory == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    pinned[*memory] = bytes;
    ++state.live.pinned;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemFreeHost(void* memory) {
  return enter_unsafe("cuMemFreeHost", [=] {
    if (pinned.erase(memory) == 0) return CUDA_ERROR_INVALID_VALUE;
    std::free(memory);
    --state.live.pinned;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemcpyHtoD(CUdeviceptr to, const void* from, std::size_t bytes) {
  return enter_unsafe("cuMemcpyHtoD_v2", [=] {
    if (!is_allocated(to, bytes)) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(pointer(to), from, bytes);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemcpyDtoH(void* to, CUdeviceptr from, std::size_t bytes) {
  return enter_unsafe("cuMemcpyDtoH_v2", [=] {
    if (!is_allocated(from, bytes)) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(to, pointer(from), bytes);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return enter_in_context("cuMemcpyAsync", [=] {
    const StubCopy copy{pointer(to), bytes, stream, is_in(pinned, from, bytes)};
    return submit(stream, [=] {
      std::memcpy(pointer(to), pointer(from), bytes);
      state.copies.push_back(copy);
    });
  });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, std::size_t bytes, CUstream stream) {
  return enter_in_context("cuMemsetD8Async", [=] {
    if (!is_allocated(to, bytes)) return CUDA_ERROR_INVALID_VALUE;
    return submit(stream, [=] { std::memset(pointer(to), value, bytes); });
  });
}

}  // extern "C"
