// A libcuda for machines without a GPU: all but its memory. stub_cuda.h says what it does.

#define ROPEJIT_STUB_CUDA ""  // the header's accessors are for the other side

#include "tests/stub_cuda.h"

#include <cuda.h>

#include <cstdlib>
#include <cstring>
#include <sstream>

#include "tests/stub_cuda_device.h"

// Some headers rename this one to a version that the library does not ask for.
#undef cuEventElapsedTime

extern "C" {
StubCuda stub_cuda_state;
std::vector<CUctx_st*>* stub_cuda_thread_contexts();
// NOLINTNEXTLINE(readability-identifier-naming)
CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end);
}

using namespace stub_cuda_device;

namespace {

/// Reads the environment when the library is mapped.
const bool environment_read = [] {
  const char* text = std::getenv("STUB_CUDA_FAIL");
  std::istringstream items(text != nullptr ? text : "");
  for (std::string item; std::getline(items, item, ',');) {
    const std::size_t equals = item.find('=');
    const std::size_t star = item.find('*');
    if (equals == std::string::npos) continue;
    const int times = star == std::string::npos ? -1 : std::atoi(item.c_str() + star + 1);
    state.fail(item.substr(0, equals), std::atoi(item.c_str() + equals + 1), times);
  }
  const char* memory = std::getenv("STUB_CUDA_MEMORY");
  if (memory != nullptr) state.memory_bytes = std::strtoull(memory, nullptr, 10);
  return true;
}();

}  // namespace

extern "C" {

std::vector<CUctx_st*>* stub_cuda_thread_contexts() { return &contexts; }

CUresult cuGetErrorName(CUresult result, const char** text) {
  const KnownError* known = find_error(result);
  *text = known != nullptr ? known->name : nullptr;
  return known != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult result, const char** text) {
  const KnownError* known = find_error(result);
  *text = known != nullptr ? known->description : nullptr;
  return known != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDriverGetVersion(int* version) {
  return enter("cuDriverGetVersion", [=] {
    *version = state.driver_version;
    return CUDA_SUCCESS;
  });
}

CUresult cuInit(unsigned) {
  return enter("cuInit", [] { return CUDA_SUCCESS; });
}

CUresult cuDeviceGetCount(int* count) {
  return enter("cuDeviceGetCount", [=] {
    *count = state.device_count;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return enter("cuDeviceGet", [=] {
    if (ordinal < 0 || ordinal >= std::min(state.device_count, kMostDevices)) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetName(char* name, int length, CUdevice) {
  return enter("cuDeviceGetName", [=] {
    const std::size_t copied = state.device_name.copy(name, static_cast<std::size_t>(length) - 1);
    name[copied] = '\0';
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceTotalMem(std::size_t* bytes, CUdevice) {
  return enter("cuDeviceTotalMem_v2", [=] {
    *bytes = state.memory_bytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  return enter("cuDeviceGetAttribute", [=] {
    const std::map<CUdevice_attribute, int> known = {
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, state.major},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, state.minor},
        {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, state.sm_count},
        {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, state.l2_bytes},
        {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1980000}};
    if (!known.contains(attribute)) return CUDA_ERROR_INVALID_VALUE;
    *value = known.at(attribute);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  return enter("cuDevicePrimaryCtxRetain", [=] {
    ++primary_references[device];
    ++state.live.context_references;
    *context = reinterpret_cast<CUcontext>(&primary_contexts[device]);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  return enter("cuDevicePrimaryCtxRelease_v2", [=] {
    if (primary_references[device] == 0) return CUDA_ERROR_INVALID_CONTEXT;
    --primary_references[device];
    --state.live.context_references;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCurrent(CUcontext* context) {
  return enter("cuCtxGetCurrent", [=] {
    *context = contexts.empty() ? nullptr : contexts.back();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPushCurrent(CUcontext context) {
  return enter("cuCtxPushCurrent_v2", [=] {
    contexts.push_back(context);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPopCurrent(CUcontext* context) {
  return enter("cuCtxPopCurrent_v2", [=] {
    if (contexts.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    *context = contexts.back();
    contexts.pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSynchronize() {
  return enter_unsafe("cuCtxSynchronize", [] {
    run_until(operations_enqueued());
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryLoadData(CUlibrary* library, const void* code, CUjit_option*, void**, unsigned,
                           CUlibraryOption*, void**, unsigned) {
  return enter_unsafe("cuLibraryLoadData", [=] {
    if (code == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (std::memcmp(code,
                    "\x7f"
                    "ELF",
                    4) != 0)
      return CUDA_ERROR_INVALID_IMAGE;
    return add(libraries, Library(), library, state.live.libraries);
  });
}

CUresult cuLibraryUnload(CUlibrary library) {
  return enter_unsafe("cuLibraryUnload",
                      [=] { return erase(libraries, library, state.live.libraries); });
}

CUresult cuLibraryGetKernel(CUkernel* kernel, CUlibrary handle, const char* name) {
  return enter("cuLibraryGetKernel", [=] {
    Library* library = find(libraries, handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *kernel = reinterpret_cast<CUkernel>(&library->functions.emplace_back(Function{name}));
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetFunction(CUfunction* function, CUkernel kernel) {
  return enter_unsafe("cuKernelGetFunction", [=] {
    Function* found = find_function(kernel);
    if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    found->on_device = true;
    *function = reinterpret_cast<CUfunction>(found);
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
  return enter_in_context("cuFuncGetAttribute", [=] {
    if (find_function(function) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (attribute == CU_FUNC_ATTRIBUTE_NUM_REGS) {
      *value = state.registers;
    } else if (attribute == CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES) {
      *value = state.local_bytes;
    } else {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction handle, void** params,
                          void** extra) {
  return enter_in_context("cuLaunchKernelEx", [=] {
    const Function* function = find_function(handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const bool is_empty = config->gridDimX == 0 || config->blockDimX == 0;
    if (is_empty || config->blockDimX > 1024 || extra != nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!function->on_device) ++state.lazy_launches;
    StubLaunch launch{function->name,
                      {config->gridDimX, config->gridDimY, config->gridDimZ},
                      {config->blockDimX, config->blockDimY, config->blockDimZ},
                      config->hStream,
                      {}};
    const auto* bytes = static_cast<const std::byte*>(params[0]);
    launch.params.assign(bytes, bytes + state.params_bytes);
    for (unsigned i = 0; i < config->numAttrs; ++i) {
      const CUlaunchAttribute& attribute = config->attrs[i];
      if (attribute.id != CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      launch.dependent = attribute.value.programmaticStreamSerializationAllowed == 1;
    }
    return submit(config->hStream, [launch] { state.launches.push_back(launch); });
  });
}

CUresult cuStreamCreate(CUstream* stream, unsigned) {
  return enter_in_context("cuStreamCreate",
                          [=] { return add(streams, Stream(), stream, state.live.streams); });
}

CUresult cuStreamDestroy(CUstream stream) {
  return enter_in_context("cuStreamDestroy_v2",
                          [=] { return erase(streams, stream, state.live.streams); });
}

CUresult cuStreamSynchronize(CUstream stream) {
  return enter_unsafe("cuStreamSynchronize", [=] {
    const CUresult result = submit(stream, [] {});
    run_until(operations_enqueued());
    return result;
  });
}

CUresult cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode) {
  return enter_in_context("cuStreamBeginCapture_v2", [=] {
    Stream* stream = find(streams, handle);
    if (stream == nullptr) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (stream->capturing) return CUDA_ERROR_ILLEGAL_STATE;
    *stream = Stream{.capturing = true, .invalidated = false, .captured = {}};
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* graph) {
  return enter_in_context("cuStreamEndCapture", [=] {
    *graph = nullptr;
    Stream* stream = find(streams, handle);
    if (stream == nullptr || !stream->capturing) return CUDA_ERROR_ILLEGAL_STATE;
    const Stream ended = std::exchange(*stream, Stream());
    if (ended.invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    return add(graphs, ended.captured, graph, state.live.graphs);
  });
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
  return enter_in_context("cuStreamIsCapturing", [=] {
    const Stream* stream = find(streams, handle);
    if (handle != nullptr && stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    if (stream != nullptr && stream->capturing) {
      *status = stream->invalidated ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                    : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return enter("cuThreadExchangeStreamCaptureMode", [=] {
    std::swap(*mode, capture_mode);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode*, std::size_t* count) {
  return enter("cuGraphGetNodes", [=] {
    const Graph* graph = find(graphs, handle);
    if (graph == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *count = graph->size();
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph handle, unsigned long long) {
  return enter_in_context("cuGraphInstantiateWithFlags", [=] {
    const Graph* graph = find(graphs, handle);
    if (graph == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return add(graph_execs, *graph, exec, state.live.graph_execs);
  });
}

CUresult cuGraphDestroy(CUgraph graph) {
  return enter("cuGraphDestroy", [=] { return erase(graphs, graph, state.live.graphs); });
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  return enter_in_context("cuGraphLaunch", [=] {
    const Graph* graph = find(graph_execs, exec);
    if (graph == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    for (const Operation& operation : *graph) {
      if (const CUresult result = submit(stream, operation); result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphExecDestroy(CUgraphExec exec) {
  return enter("cuGraphExecDestroy",
               [=] { return erase(graph_execs, exec, state.live.graph_execs); });
}

CUresult cuEventCreate(CUevent* event, unsigned) {
  return enter_in_context("cuEventCreate",
                          [=] { return add(events, Event(), event, state.live.events); });
}

CUresult cuEventDestroy(CUevent event) {
  return enter("cuEventDestroy_v2", [=] { return erase(events, event, state.live.events); });
}

CUresult cuEventRecord(CUevent handle, CUstream) {
  return enter_in_context("cuEventRecord", [=] {
    Event* event = find(events, handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    event->operations_before = operations_enqueued();
    return CUDA_SUCCESS;
  });
}

CUresult cuEventSynchronize(CUevent handle) {
  return enter_unsafe("cuEventSynchronize", [=] {
    const Event* event = find(events, handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    run_until(event->operations_before);
    return CUDA_SUCCESS;
  });
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return enter("cuEventElapsedTime", [=] {
    const Event* first = find(events, start);
    const Event* last = find(events, end);
    if (first == nullptr || last == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *milliseconds = kStubMillisecondsPerOperation *
                    static_cast<float>(last->operations_before - first->operations_before);
    return CUDA_SUCCESS;
  });
}

}  // extern "C"
