#ifndef DEVICE_ARRAY_H_
#define DEVICE_ARRAY_H_

#include <ropejit/runtime.h>

#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

#ifdef DECODE_STEP_WITH_CUDA
#include <cuda_runtime_api.h>

/// The device to ask for: the first GPU.
inline constexpr int kDevice = 0;

inline void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}
inline void* allocate(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes));
  return memory;
}
inline void release(void* memory) noexcept { cudaFree(memory); }
/// Between host and device, behind all work on the default stream. Waits for its end.
inline void copy(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpy(to, from, bytes, cudaMemcpyDefault));
}
#else
/// Built without the CUDA runtime, this program can have no memory of a GPU.
inline constexpr int kDevice = ropejit::kCpuDevice;

inline void* allocate(std::size_t) { throw std::logic_error("built without CUDA"); }
inline void release(void*) noexcept {}
inline void copy(void*, const void*, std::size_t) {}
#endif

/// An array where a Rope on `device` computes: in the GPU's memory, or with kCpuDevice on the host.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(std::vector<T> values, int device) : host_(std::move(values)) {
    if (device == ropejit::kCpuDevice) return;
    memory_ = allocate(bytes());
    copy(memory_, host_.data(), bytes());
  }
  ~DeviceArray() {
    if (memory_ != nullptr) release(memory_);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return memory_ != nullptr ? static_cast<T*>(memory_) : host_.data(); }
  /// What the array holds once the work enqueued so far has finished.
  const std::vector<T>& read() {
    if (memory_ != nullptr) copy(host_.data(), memory_, bytes());
    return host_;
  }

 private:
  std::size_t bytes() const { return host_.size() * sizeof(T); }

  std::vector<T> host_;
  void* memory_ = nullptr;
};

#endif  // DEVICE_ARRAY_H_
