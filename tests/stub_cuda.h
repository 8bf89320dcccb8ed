#ifndef ROPEJIT_TESTS_STUB_CUDA_H_
#define ROPEJIT_TESTS_STUB_CUDA_H_

#include <dlfcn.h>

#include <cstddef>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

struct CUctx_st;
struct CUstream_st;

/// One kernel launch, as it reached the device: a graph's launches appear when the graph is
/// launched, once per launch.
struct StubLaunch {
  std::string kernel;
  unsigned grid[3] = {};
  unsigned block[3] = {};
  CUstream_st* stream = nullptr;  ///< where the launch, or the capture of it, was asked for
  std::vector<std::byte> params;  ///< the first StubCuda::params_bytes of the only parameter
  bool dependent = false;         ///< with programmatic stream serialization
};

/// What exists at the moment. All zero once everything was released.
struct StubLive {
  int context_references = 0;
  int libraries = 0;
  int allocations = 0;
  int pinned = 0;  ///< page-locked allocations of host memory
  int streams = 0;
  int events = 0;
  int graphs = 0;  ///< not yet instantiated, or not yet destroyed
  int graph_execs = 0;

  bool operator==(const StubLive&) const = default;
};

/// One copy on a stream, as it ran: a graph's copies once per launch of the graph.
struct StubCopy {
  const void* to = nullptr;
  std::size_t bytes = 0;
  CUstream_st* stream = nullptr;  ///< as in StubLaunch
  bool from_pinned = false;       ///< from page-locked host memory

  bool operator==(const StubCopy&) const = default;
};

struct StubFailure {
  int error = 0;   ///< a CUresult
  int times = -1;  ///< how many calls are still to fail; negative: all
};

/// The state of stub_cuda.cpp: a libcuda that has devices of host memory, runs copies and fills at
/// once (or late, see `lazy`), and writes kernel launches down instead of running them. It is as
/// strict as CUDA where it matters here: calls need a current, retained context and live handles;
/// loading, allocating and releasing while a stream is captured invalidates the capture, unless the
/// thread said otherwise with cuThreadExchangeStreamCaptureMode.
///
/// A process that is only started with the stub (the CLI) takes failures from the environment:
/// `STUB_CUDA_FAIL=cuInit=100,cuLibraryLoadData=209*2` (exported name, CUresult, times), and from
/// STUB_CUDA_MEMORY how many bytes the device says that it has.
///
/// Fields are plain: set and read them while no other thread calls CUDA.
struct StubCuda {
  // What the next calls find.
  int driver_version = 13000;
  int device_count = 1;
  std::string device_name = "Stub GPU";
  int major = 9;
  int minor = 0;
  int sm_count = 132;
  int l2_bytes = (50 << 20) + 4096;  ///< of no real device: what is shipped is not for this one
  std::size_t memory_bytes = std::size_t{80} << 30;
  int registers = 40;
  int local_bytes = 16;
  std::size_t params_bytes = 0;
  /// What is put on a stream runs only when something waits for it: up to the record of the event,
  /// else all.
  bool lazy = false;
  std::map<std::string, StubFailure> failures;  ///< by exported name, such as `cuMemAlloc_v2`

  // What happened since the last reset().
  std::map<std::string, int> calls;  ///< by exported name
  std::vector<StubLaunch> launches;
  std::vector<StubCopy> copies;
  /// Launches of a function whose code was not on the device yet, which CUDA would load then.
  int lazy_launches = 0;

  // What is.
  StubLive live;

  void fail(const std::string& call, int error, int times = -1) { failures[call] = {error, times}; }

  /// Forgets settings and records. What is live stays.
  void reset() {
    const StubLive still_live = live;
    *this = StubCuda();
    live = still_live;
  }
};

/// What an operation in a stream takes, by the stub's events.
inline constexpr float kStubMillisecondsPerOperation = 0.001F;

/// The stub that this process shares with a Driver opened with ROPEJIT_STUB_CUDA.
inline StubCuda& stub_cuda() {
  void* library = dlopen(ROPEJIT_STUB_CUDA, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  return *static_cast<StubCuda*>(dlsym(library, "stub_cuda_state"));
}

/// The calling thread's stack of contexts, the current one last.
inline std::vector<CUctx_st*>& stub_cuda_contexts() {
  void* library = dlopen(ROPEJIT_STUB_CUDA, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  using Function = std::vector<CUctx_st*>* (*)();
  return *reinterpret_cast<Function>(dlsym(library, "stub_cuda_thread_contexts"))();
}

#endif  // ROPEJIT_TESTS_STUB_CUDA_H_
