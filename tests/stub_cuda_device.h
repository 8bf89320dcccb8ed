#ifndef ROPEJIT_TESTS_STUB_CUDA_DEVICE_H_
#define ROPEJIT_TESTS_STUB_CUDA_DEVICE_H_

// The device behind stub_cuda*.cpp, its users: what exists on it, and the rules that every entry
// point keeps. All of it is guarded by `mutex`, which enter() holds.

#include <cuda.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/stub_cuda.h"

extern "C" StubCuda stub_cuda_state;

namespace stub_cuda_device {

inline constexpr int kMostDevices = 16;

struct Function {
  std::string name;
  bool on_device = false;
};

struct Library {
  std::list<Function> functions;  // a list: their addresses are handles
};

using Operation = std::function<void()>;
using Graph = std::vector<Operation>;

struct Stream {
  bool capturing = false;
  bool invalidated = false;
  Graph captured;
};

struct Event {
  std::int64_t operations_before = 0;
};

inline std::mutex mutex;
inline StubCuda& state = stub_cuda_state;
inline std::int64_t operations_done = 0;
inline std::deque<Operation> waiting;  // under StubCuda::lazy
inline int primary_references[kMostDevices] = {};
inline char primary_contexts[kMostDevices] = {};  // only their addresses mean something
inline std::map<void*, std::size_t> allocations;  // of device memory
inline std::map<void*, std::size_t> pinned;       // of page-locked host memory
inline std::list<Library> libraries;
inline std::list<Stream> streams;
inline std::list<Event> events;
inline std::list<Graph> graphs;
inline std::list<Graph> graph_execs;
inline thread_local std::vector<CUctx_st*> contexts;
inline thread_local CUstreamCaptureMode capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

template <typename Object>
Object* find(std::list<Object>& objects, const void* handle) {
  for (Object& object : objects) {
    if (&object == handle) return &object;
  }
  return nullptr;
}

template <typename Object>
CUresult erase(std::list<Object>& objects, const void* handle, int& live) {
  const auto matches = [handle](const Object& object) { return &object == handle; };
  if (std::erase_if(objects, matches) == 0) return CUDA_ERROR_INVALID_HANDLE;
  --live;
  return CUDA_SUCCESS;
}

template <typename Handle, typename Object>
CUresult add(std::list<Object>& objects, Object object, Handle* handle, int& live) {
  objects.push_back(std::move(object));
  *handle = reinterpret_cast<Handle>(&objects.back());
  ++live;
  return CUDA_SUCCESS;
}

inline Function* find_function(const void* handle) {
  for (Library& library : libraries) {
    if (Function* function = find(library.functions, handle)) return function;
  }
  return nullptr;
}

inline std::optional<CUresult> injected_failure(const char* name) {
  const auto found = state.failures.find(name);
  if (found == state.failures.end() || found->second.times == 0) return std::nullopt;
  if (found->second.times > 0) --found->second.times;
  return static_cast<CUresult>(found->second.error);
}

/// What every entry point does around its own work.
template <typename Body>
CUresult enter(const char* name, Body body) {
  const std::lock_guard lock(mutex);
  ++state.calls[name];
  if (const auto failure = injected_failure(name)) return *failure;
  return body();
}

/// As enter(), for calls that need a current context.
template <typename Body>
CUresult enter_in_context(const char* name, Body body) {
  return enter(name, [&body] {
    if (contexts.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    for (int device = 0; device < kMostDevices; ++device) {
      const void* primary = &primary_contexts[device];
      if (contexts.back() == primary && primary_references[device] > 0) return body();
    }
    return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  });
}

/// As enter_in_context(), for calls that CUDA forbids while a stream is captured.
template <typename Body>
CUresult enter_unsafe(const char* name, Body body) {
  return enter_in_context(name, [&body] {
    bool forbidden = false;
    for (Stream& stream : streams) {
      if (!stream.capturing || capture_mode == CU_STREAM_CAPTURE_MODE_RELAXED) continue;
      stream.invalidated = true;
      forbidden = true;
    }
    return forbidden ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : body();
  });
}

inline std::int64_t operations_enqueued() {
  return operations_done + static_cast<std::int64_t>(waiting.size());
}

/// Runs what waits, in the order in which it came, until so many operations have run.
inline void run_until(std::int64_t operations) {
  while (operations_done < operations && !waiting.empty()) {
    waiting.front()();
    waiting.pop_front();
    ++operations_done;
  }
}

/// Enqueues an operation, or adds it to the capture of its stream.
inline CUresult submit(CUstream handle, const Operation& operation) {
  Stream* stream = find(streams, handle);
  if (handle != nullptr && stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream != nullptr && stream->capturing) {
    stream->captured.push_back(operation);
    return CUDA_SUCCESS;
  }
  waiting.push_back(operation);
  if (!state.lazy) run_until(operations_enqueued());
  return CUDA_SUCCESS;
}

inline bool is_in(const std::map<void*, std::size_t>& memory, CUdeviceptr address,
                  std::size_t bytes) {
  const auto begin = static_cast<std::uintptr_t>(address);
  return std::any_of(memory.begin(), memory.end(), [&](const auto& allocation) {
    const auto start = reinterpret_cast<std::uintptr_t>(allocation.first);
    return begin >= start && begin - start <= allocation.second &&
           bytes <= allocation.second - (begin - start);
  });
}

inline bool is_allocated(CUdeviceptr address, std::size_t bytes) {
  return is_in(allocations, address, bytes);
}

// NOLINTNEXTLINE(performance-no-int-to-ptr)
inline void* pointer(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

struct KnownError {
  CUresult result;
  const char* name;
  const char* description;
};
inline constexpr KnownError kKnownErrors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_STUB_LIBRARY, "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
     "system has unsupported display driver / cuda driver combination"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
};

inline const KnownError* find_error(CUresult result) {
  for (const KnownError& known : kKnownErrors) {
    if (known.result == result) return &known;
  }
  return nullptr;
}

}  // namespace stub_cuda_device

#endif  // ROPEJIT_TESTS_STUB_CUDA_DEVICE_H_
