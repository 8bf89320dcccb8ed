#ifndef ROPEJIT_RUNTIME_H_
#define ROPEJIT_RUNTIME_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ropejit/args.h"
#include "ropejit/config.h"
#include "ropejit/error.h"
#include "ropejit/frequencies.h"
#include "ropejit/spec.h"
#include "ropejit/tuning.h"

struct CUstream_st;  // CUstream and cudaStream_t are pointers to it

namespace ropejit {

/// Pass as `device` to compute on the CPU with apply_reference: pointers are then host memory and
/// the stream is ignored.
inline constexpr int kCpuDevice = -1;

/// Everything that ropejit takes from its surroundings. The environment is read in one place,
/// from_environment(); README.md lists the variables.
struct RuntimeOptions {
  // Behaviour.
  /// Folder of the cubin cache. Empty: keep cubins in memory only.
  std::string cache_dir;
  /// False: a kernel that is not in the cache is Error(not_cached); NVRTC is never opened.
  bool allow_compile = true;
  /// True: rope() on a machine without a usable driver and GPU returns a Rope on kCpuDevice, with
  /// one log line, where it would throw Error(driver).
  bool cpu_fallback = false;
  /// Files of tuned launch configs (docs/tuning.md). What `tuned_file` names must be one, or
  /// rope(), prewarm() and explain() throw; while it is empty, `default_tuned_file` is taken in its
  /// place. Behind the user's file comes the system's, then what is part of the library. The second
  /// and the third are passed over where there is none, and with one log line where one is bad.
  std::string tuned_file;
  std::string default_tuned_file;
  std::string system_tuned_file;
  /// File name or path of libnvrtc and of libcuda. Empty: the documented search.
  std::string nvrtc_library;
  std::string cuda_library;
  /// Receives one line per noteworthy event, without a newline. Empty: silence. Called from any
  /// thread.
  std::function<void(std::string_view)> log;

  /// $ROPEJIT_CACHE_DIR, else $XDG_CACHE_HOME/ropejit, else $HOME/.cache/ropejit; $ROPEJIT_NVRTC;
  /// $ROPEJIT_CUDA; $ROPEJIT_NO_COMPILE=1; $ROPEJIT_CPU_FALLBACK=1; $ROPEJIT_TUNED;
  /// $XDG_CONFIG_HOME/ropejit/tuned.json, else $HOME/.config/ropejit/tuned.json; and
  /// /etc/ropejit/tuned.json.
  static RuntimeOptions from_environment();
};

/// Counts since the Runtime was made, of whatever is otherwise silent.
struct Stats {
  std::uint64_t memory_hits = 0;  ///< kernels found already loaded
  std::uint64_t disk_hits = 0;    ///< cubins taken from the cache folder
  std::uint64_t misses = 0;       ///< lookups for which the folder had no usable entry
  std::uint64_t damaged = 0;  ///< of those, entries that failed verification (healed by a rebuild)
  std::uint64_t driver_refused = 0;   ///< cached cubins that the driver would not load (rebuilt)
  std::uint64_t compiles = 0;         ///< successful NVRTC compilations
  std::uint64_t write_failures = 0;   ///< entries that could not be published
  std::uint64_t unaligned_calls = 0;  ///< apply() calls that broke the spec's alignment promise
  bool nvrtc_opened = false;          ///< whether libnvrtc was mapped by this Runtime
};

/// A resolved spec on a device: the hot handle. A cheap copyable reference to shared state, of
/// which only the frequencies ever change; every member function is thread-safe. Its kernels, and
/// the frequencies on the device, live as long as the last copy; destroy it after its work on every
/// stream (and every graph) has finished.
class Rope {
 public:
  /// Rotates as `args` says, asynchronously on `stream` (nullptr: the default stream) of this
  /// Rope's device. Costs the checks, one struct and one cuLaunchKernelEx; no allocation, lock,
  /// hash, file or environment access; legal during stream capture. Throws Error(invalid_argument)
  /// that names the argument, Error(driver) when the launch fails. Zero tokens: returns at once.
  void apply(const RopeArgs& args, CUstream_st* stream = nullptr) const;

  /// Replaces the frequencies, of this Rope and all copies of it: for dynamic NTK as the context
  /// grows, for the switch from LongRoPE's short list to its long one. Compiles nothing, allocates
  /// no device memory, and leaves the device address of the frequencies as it is, so that a CUDA
  /// graph captured before reads the new ones in every replay that comes after.
  ///
  /// On a device it is a copy on `stream` (nullptr: the default stream): work enqueued there before
  /// the call rotates by the old frequencies, work enqueued after it by the new ones, dependent
  /// launches included. It orders nothing on other streams: where those use this Rope or a graph of
  /// it, let `stream` wait for an event behind their old work, and let them wait for one behind
  /// this call; else a kernel may read some new and some old values. `frequencies` may change or go
  /// once the call returns. It does not wait for the device, unless four earlier calls for this
  /// Rope have still to run. Costs a copy of rotary_dim / 2 values and a lock; the first call for a
  /// Rope also takes some page-locked host memory, which allocates and may take a millisecond.
  ///
  /// On kCpuDevice it takes effect at once and ignores `stream`; an apply() that has begun in
  /// another thread goes on with the frequencies that it began with, all of them.
  ///
  /// Throws Error(invalid_argument), and nothing has changed, for frequencies that do not fit the
  /// spec as in Runtime::rope; with AngleSource::table; for another attention factor, which is a
  /// parameter of each launch that a captured graph would keep (dynamic NTK and LongRoPE keep
  /// theirs; for another one, make another Rope); and for a `stream` that is being captured, as
  /// every replay of that graph would set these frequencies again. Throws Error(driver) when a call
  /// of the driver fails.
  void set_frequencies(const Frequencies& frequencies, CUstream_st* stream = nullptr) const;

  const RopeSpec& spec() const noexcept;
  /// The device's ordinal, or kCpuDevice.
  int device() const noexcept;

  /// What the handle is made of; defined in the library. A Rope comes from Runtime::rope.
  struct State;
  explicit Rope(std::shared_ptr<const State> state);

 private:
  std::shared_ptr<const State> state_;
};

/// One kernel that prewarm built, found or failed to build.
struct PrewarmResult {
  enum class Status { compiled, cached, failed };
  Status status;
  std::string kernel;   ///< describe(spec) of the kernel, and what its launch config decides
  std::string arch;     ///< such as `sm_90`
  std::string key;      ///< the cache key, 32 hexadecimal digits
  std::string message;  ///< the error, when failed
  double milliseconds;
};

/// Owns the cubin cache, the loaded kernels, NVRTC and the driver, each opened on first need. No
/// globals: two Runtimes share nothing but the cache folder. Thread-safe. Making one costs
/// microseconds and opens nothing, so a process may fork between making a Runtime and its first
/// rope().
class Runtime {
 public:
  explicit Runtime(RuntimeOptions options = RuntimeOptions::from_environment());
  ~Runtime();
  Runtime(Runtime&&) noexcept;
  Runtime& operator=(Runtime&&) noexcept;

  /// Resolves `spec` on `device`: takes its kernels from memory, the cache folder or NVRTC, loads
  /// them, and copies the frequencies to the device. Call it at start-up, never during stream
  /// capture. Threads that ask for one kernel at once compile it once. From a warm cache it takes
  /// well under a millisecond per kernel; NVRTC takes 10 to 100 ms. Throws Error: invalid_argument,
  /// not_cached, compile_failed, driver. With `config`, every call that keeps the spec's alignment
  /// takes that launch config, whatever its token count; without, explain() says which.
  Rope rope(const RopeSpec& spec, const Frequencies& frequencies, int device = 0,
            const std::optional<LaunchConfig>& config = {});

  /// The launch config that a Rope takes for calls of `tokens` tokens (at least 1) that keep the
  /// spec's alignment, and why: on a device, or on one of a class, which needs neither GPU nor
  /// driver. The tuned files are read once per Runtime, at the first need of them. Throws Error:
  /// invalid_argument, io for a tuned file, driver.
  ConfigChoice explain(const RopeSpec& spec, int device, std::int64_t tokens);
  ConfigChoice explain(const RopeSpec& spec, const DeviceClass& device_class, std::int64_t tokens);

  /// Builds every kernel that rope() needs for `specs` on any device of each of `archs` (`sm_90`,
  /// ...) into the cache folder: those for the device classes of the tuned files, and for a device
  /// of none. Takes `threads` threads (0: one per core) and needs neither GPU nor driver. Kernels
  /// that an other compiler version built are rebuilt. Each distinct kernel is reported once, in a
  /// fixed order; `progress(done, total, result)` is called as each finishes, from one thread at a
  /// time. Throws Error(invalid_argument) for a bad spec or architecture before anything is built,
  /// and Error(io) if the cache folder cannot be written.
  std::vector<PrewarmResult> prewarm(
      std::span<const RopeSpec> specs, std::span<const std::string> archs, int threads = 0,
      const std::function<void(std::size_t, std::size_t, const PrewarmResult&)>& progress = {});

  Stats stats() const;
  const RuntimeOptions& options() const noexcept;

  struct State;  ///< defined in the library

 private:
  std::shared_ptr<State> state_;
};

}  // namespace ropejit

#endif  // ROPEJIT_RUNTIME_H_
