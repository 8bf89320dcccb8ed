#ifndef ROPEJIT_SRC_DRIVER_API_H_
#define ROPEJIT_SRC_DRIVER_API_H_

// The one place that includes cuda.h. Private to driver.cpp and driver_device.cpp, which
// implement driver.h between them.

#include <cuda.h>

#include <string>
#include <string_view>

#include "ropejit/error.h"
#include "src/driver.h"
#include "src/shared_library.h"

namespace ropejit {

/// The entry points by their exported names: a header's `cuMemAlloc` is the library's
/// `cuMemAlloc_v2`. Their types are the header's, so the compiler checks every call. Only functions
/// whose exported name has one signature from CUDA 12.0 to 13.x are used.
struct Driver::Api {
  /// Opens the library and resolves everything below. Throws Error(driver).
  explicit Api(const std::string& file);

  /// Calls, and throws Error(driver) unless CUDA says success. `kernel` is named in the message.
  template <typename Function, typename... Args>
  void call_for(std::string_view kernel, const EntryPoint<Function>& entry, Args... args) const {
    check(kernel, entry, entry.function(args...));
  }
  /// Throws Error(driver) unless a call of `entry` that gave `result` was a success.
  template <typename Function>
  void check(std::string_view kernel, const EntryPoint<Function>& entry, CUresult result) const {
    if (result == CUDA_SUCCESS) return;
    throw Error(ErrorCode::driver, describe(entry.name, result, kernel));
  }
  template <typename Function, typename... Args>
  void call(const EntryPoint<Function>& entry, Args... args) const {
    call_for({}, entry, args...);
  }
  void initialise() const;  ///< cuInit, with an error that says which library it was
  int attribute(CUdevice device, CUdevice_attribute attribute) const;
  /// The same; 0 where the driver does not know.
  int attribute_or_zero(CUdevice device, CUdevice_attribute attribute) const;

  SharedLibrary library;
  EntryPoint<decltype(&::cuDriverGetVersion)> driver_get_version{library, "cuDriverGetVersion"};
  EntryPoint<decltype(&::cuGetErrorName)> get_error_name{library, "cuGetErrorName"};
  EntryPoint<decltype(&::cuGetErrorString)> get_error_string{library, "cuGetErrorString"};
  /// Read here because an older driver lacks some of the functions below.
  int version = supported_version();

  EntryPoint<decltype(&::cuInit)> init{library, "cuInit"};
  EntryPoint<decltype(&::cuDeviceGet)> device_get{library, "cuDeviceGet"};
  EntryPoint<decltype(&::cuDeviceGetCount)> device_get_count{library, "cuDeviceGetCount"};
  EntryPoint<decltype(&::cuDeviceGetName)> device_get_name{library, "cuDeviceGetName"};
  EntryPoint<decltype(&::cuDeviceGetAttribute)> device_get_attribute{library,
                                                                     "cuDeviceGetAttribute"};
  EntryPoint<decltype(&::cuDeviceTotalMem)> device_total_mem{library, "cuDeviceTotalMem_v2"};
  EntryPoint<decltype(&::cuDevicePrimaryCtxRetain)> primary_ctx_retain{library,
                                                                       "cuDevicePrimaryCtxRetain"};
  EntryPoint<decltype(&::cuDevicePrimaryCtxRelease)> primary_ctx_release{
      library, "cuDevicePrimaryCtxRelease_v2"};
  EntryPoint<decltype(&::cuCtxGetCurrent)> ctx_get_current{library, "cuCtxGetCurrent"};
  EntryPoint<decltype(&::cuCtxPushCurrent)> ctx_push_current{library, "cuCtxPushCurrent_v2"};
  EntryPoint<decltype(&::cuCtxPopCurrent)> ctx_pop_current{library, "cuCtxPopCurrent_v2"};
  EntryPoint<decltype(&::cuCtxSynchronize)> ctx_synchronize{library, "cuCtxSynchronize"};
  EntryPoint<decltype(&::cuLibraryLoadData)> library_load_data{library, "cuLibraryLoadData"};
  EntryPoint<decltype(&::cuLibraryUnload)> library_unload{library, "cuLibraryUnload"};
  EntryPoint<decltype(&::cuLibraryGetKernel)> library_get_kernel{library, "cuLibraryGetKernel"};
  EntryPoint<decltype(&::cuKernelGetFunction)> kernel_get_function{library, "cuKernelGetFunction"};
  EntryPoint<decltype(&::cuFuncGetAttribute)> func_get_attribute{library, "cuFuncGetAttribute"};
  EntryPoint<decltype(&::cuLaunchKernelEx)> launch_kernel_ex{library, "cuLaunchKernelEx"};
  EntryPoint<decltype(&::cuMemAlloc)> mem_alloc{library, "cuMemAlloc_v2"};
  EntryPoint<decltype(&::cuMemFree)> mem_free{library, "cuMemFree_v2"};
  EntryPoint<decltype(&::cuMemHostAlloc)> mem_host_alloc{library, "cuMemHostAlloc"};
  EntryPoint<decltype(&::cuMemFreeHost)> mem_free_host{library, "cuMemFreeHost"};
  EntryPoint<decltype(&::cuMemcpyHtoD)> memcpy_htod{library, "cuMemcpyHtoD_v2"};
  EntryPoint<decltype(&::cuMemcpyDtoH)> memcpy_dtoh{library, "cuMemcpyDtoH_v2"};
  EntryPoint<decltype(&::cuMemcpyAsync)> memcpy_async{library, "cuMemcpyAsync"};
  EntryPoint<decltype(&::cuMemsetD8Async)> memset_d8_async{library, "cuMemsetD8Async"};
  EntryPoint<decltype(&::cuStreamCreate)> stream_create{library, "cuStreamCreate"};
  EntryPoint<decltype(&::cuStreamDestroy)> stream_destroy{library, "cuStreamDestroy_v2"};
  EntryPoint<decltype(&::cuStreamSynchronize)> stream_synchronize{library, "cuStreamSynchronize"};
  EntryPoint<decltype(&::cuStreamBeginCapture)> stream_begin_capture{library,
                                                                     "cuStreamBeginCapture_v2"};
  EntryPoint<decltype(&::cuStreamEndCapture)> stream_end_capture{library, "cuStreamEndCapture"};
  EntryPoint<decltype(&::cuStreamIsCapturing)> stream_is_capturing{library, "cuStreamIsCapturing"};
  EntryPoint<decltype(&::cuThreadExchangeStreamCaptureMode)> thread_exchange_stream_capture_mode{
      library, "cuThreadExchangeStreamCaptureMode"};
  EntryPoint<decltype(&::cuGraphGetNodes)> graph_get_nodes{library, "cuGraphGetNodes"};
  EntryPoint<decltype(&::cuGraphInstantiateWithFlags)> graph_instantiate{
      library, "cuGraphInstantiateWithFlags"};
  EntryPoint<decltype(&::cuGraphDestroy)> graph_destroy{library, "cuGraphDestroy"};
  EntryPoint<decltype(&::cuGraphLaunch)> graph_launch{library, "cuGraphLaunch"};
  EntryPoint<decltype(&::cuGraphExecDestroy)> graph_exec_destroy{library, "cuGraphExecDestroy"};
  EntryPoint<decltype(&::cuEventCreate)> event_create{library, "cuEventCreate"};
  EntryPoint<decltype(&::cuEventDestroy)> event_destroy{library, "cuEventDestroy_v2"};
  EntryPoint<decltype(&::cuEventRecord)> event_record{library, "cuEventRecord"};
  EntryPoint<decltype(&::cuEventSynchronize)> event_synchronize{library, "cuEventSynchronize"};
  EntryPoint<decltype(&::cuEventElapsedTime)> event_elapsed_time{library, "cuEventElapsedTime"};

 private:
  int supported_version() const;
  std::string describe(const char* call, CUresult result, std::string_view kernel) const;
};

/// Makes a context current for the guard's life, unless it is current already.
class CurrentContext {
 public:
  CurrentContext(const Driver::Api& api, void* context) : api_(api) {
    CUcontext current = nullptr;
    api_.call(api_.ctx_get_current, &current);
    if (current == context) return;
    api_.call(api_.ctx_push_current, static_cast<CUcontext>(context));
    pushed_ = true;
  }
  ~CurrentContext() {
    CUcontext popped = nullptr;
    if (pushed_) api_.ctx_pop_current.function(&popped);
  }
  /// Whether it was not current before.
  bool pushed() const noexcept { return pushed_; }
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;

 private:
  const Driver::Api& api_;
  bool pushed_ = false;
};

/// Keeps what this thread loads, allocates and releases from invalidating a stream capture that
/// some thread has begun: none of it belongs to that capture.
class OutsideCapture {
 public:
  explicit OutsideCapture(const Driver::Api& api) : api_(api) {
    api_.thread_exchange_stream_capture_mode.function(&mode_);
  }
  ~OutsideCapture() { api_.thread_exchange_stream_capture_mode.function(&mode_); }
  OutsideCapture(const OutsideCapture&) = delete;
  OutsideCapture& operator=(const OutsideCapture&) = delete;

 private:
  const Driver::Api& api_;
  CUstreamCaptureMode mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;
};

/// Calls a destroying function in the device's context. A failure is ignored: it means that the
/// context died before (a crashed kernel, the process's end), and took the object with it.
template <typename Function, typename Handle>
void release(const Driver::Api& api, void* context, const EntryPoint<Function>& entry,
             Handle handle) noexcept {
  try {
    const CurrentContext current(api, context);
    const OutsideCapture outside(api);
    entry.function(handle);
  } catch (const Error&) {
  }
}

}  // namespace ropejit

#endif  // ROPEJIT_SRC_DRIVER_API_H_
