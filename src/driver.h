#ifndef ROPEJIT_SRC_DRIVER_H_
#define ROPEJIT_SRC_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

struct CUevent_st;
struct CUstream_st;

namespace ropejit {

/// What a device says of itself.
struct DeviceInfo {
  int ordinal = 0;
  std::string name;
  int major = 0;  ///< compute capability
  int minor = 0;
  int sm_count = 0;
  std::int64_t l2_bytes = 0;
  std::int64_t memory_bytes = 0;

  std::string arch() const { return "sm_" + std::to_string(major) + std::to_string(minor); }
};

/// The highest clocks of a device in kHz; 0: the driver does not say.
struct DeviceClocks {
  int core = 0;
  int memory = 0;
};

/// libcuda, opened at run time and initialised. All that ropejit needs of the Driver API; every
/// failure is Error(driver) that names the call and CUDA's name for the error. Thread-safe, as
/// libcuda is.
class Driver {
 public:
  /// Opens `library` (empty: `libcuda.so.1`, then the places where containers put it) and calls
  /// cuInit. Throws Error(driver) that lists what was tried.
  static std::shared_ptr<const Driver> open(const std::string& library);
  ~Driver();

  int version() const noexcept;              ///< such as 13000
  const std::string& path() const noexcept;  ///< the file that is mapped
  int device_count() const;
  /// Throws Error(invalid_argument) if there is no such device.
  DeviceInfo device_info(int ordinal) const;
  /// Of a device that device_info() knows; apart from it, because the driver asks the device: about
  /// a millisecond.
  DeviceClocks clocks(int ordinal) const;

  struct Api;  ///< the resolved entry points; defined in driver_api.h
  const Api& api() const noexcept { return *api_; }

 private:
  Driver();
  std::unique_ptr<Api> api_;
};

class Kernel;
class DeviceBuffer;
class Event;
class PinnedBuffer;
class RawLaunch;
class Stream;
class Graph;

/// One device's primary context, retained until the last reference goes. Every member makes the
/// context current for its own duration and restores the caller's. Thread-safe.
class Device : public std::enable_shared_from_this<Device> {
 public:
  static std::shared_ptr<const Device> open(std::shared_ptr<const Driver> driver, int ordinal);
  ~Device();

  const DeviceInfo& info() const noexcept { return info_; }
  const Driver& driver() const noexcept { return *driver_; }

  /// Loads a cubin eagerly from the bytes in hand. Throws Error(driver) that names `kernel_name`; a
  /// cubin for another architecture or a damaged one is refused by the driver.
  std::shared_ptr<const Kernel> load(std::span<const std::byte> cubin,
                                     const std::string& kernel_name) const;

  /// Plain device memory (cuMemAlloc). `bytes` 0 gives an empty buffer.
  DeviceBuffer allocate(std::size_t bytes) const;
  void copy_to_device(void* device, const void* host, std::size_t bytes) const;  ///< synchronous
  void copy_to_host(void* host, const void* device, std::size_t bytes) const;    ///< synchronous
  /// Page-locked host memory (cuMemHostAlloc), which a copy on a stream reads when it runs, not
  /// when it is asked for.
  PinnedBuffer allocate_pinned(std::size_t bytes) const;
  /// Asynchronous copy and fill on a stream.
  void copy_async(void* to, const void* from, std::size_t bytes, CUstream_st* stream) const;
  void fill_async(void* device, unsigned char value, std::size_t bytes, CUstream_st* stream) const;
  void synchronize() const;  ///< waits for all work of the context

  /// Does `work` with the device's context current on the calling thread. A launch finds its
  /// context without, by failing once.
  void with_context(const std::function<void()>& work) const;

  Stream create_stream() const;  ///< non-blocking
  Event create_event() const;
  /// Whether `stream` is being captured, or was until the capture was invalidated.
  bool is_capturing(CUstream_st* stream) const;
  /// Records what `work` puts on `stream` (global capture mode) and instantiates it.
  Graph capture(CUstream_st* stream, const std::function<void()>& work) const;

 private:
  friend class Kernel;
  friend class DeviceBuffer;
  friend class Event;
  friend class PinnedBuffer;
  friend class RawLaunch;
  friend class Stream;
  friend class Graph;
  Device() = default;
  std::shared_ptr<const Driver> driver_;
  DeviceInfo info_;
  int handle_ = 0;           ///< CUdevice
  void* context_ = nullptr;  ///< CUcontext
};

/// A loaded kernel. Unloaded with its last reference, which may go while a stream is being
/// captured (on any thread) without disturbing the capture.
class Kernel {
 public:
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  /// cuLaunchKernelEx with one parameter, `params`, of the size that the kernel was compiled for.
  /// No allocation, no lock. Throws Error(driver) that names the kernel. Legal during stream
  /// capture. `dependent`: with programmatic stream serialization, where the device has it (sm_90).
  void launch(const void* params, unsigned grid, unsigned block, CUstream_st* stream,
              bool dependent = false) const;

  const Device& device() const noexcept { return *device_; }
  int registers() const noexcept { return registers_; }
  int local_bytes() const noexcept { return local_bytes_; }

 private:
  friend class Device;
  friend class RawLaunch;
  Kernel() = default;
  std::shared_ptr<const Device> device_;
  std::string name_;
  void* library_ = nullptr;
  void* function_ = nullptr;
  int registers_ = 0;
  int local_bytes_ = 0;
};

/// Owns device memory. Movable.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;
  ~DeviceBuffer();
  void* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  friend class Device;
  std::shared_ptr<const Device> device_;
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Owns page-locked host memory. Movable.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  PinnedBuffer(PinnedBuffer&& other) noexcept;
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept;
  ~PinnedBuffer();
  std::byte* data() const noexcept { return data_; }

 private:
  friend class Device;
  std::shared_ptr<const Device> device_;
  std::byte* data_ = nullptr;
};

/// Owns an event. Movable.
class Event {
 public:
  Event() = default;
  Event(Event&& other) noexcept;
  Event& operator=(Event&& other) noexcept;
  ~Event();
  void record(CUstream_st* stream) const;
  /// Waits for what was on the stream at the last record(); without one, returns at once.
  void synchronize() const;
  /// GPU time between two records, which both have happened.
  float milliseconds_since(const Event& earlier) const;

 private:
  friend class Device;
  std::shared_ptr<const Device> device_;
  CUevent_st* event_ = nullptr;
};

/// Owns a stream. Movable.
class Stream {
 public:
  Stream() = default;
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();
  CUstream_st* get() const noexcept { return stream_; }
  void synchronize() const;

 private:
  friend class Device;
  std::shared_ptr<const Device> device_;
  CUstream_st* stream_ = nullptr;
};

/// An instantiated CUDA graph. Movable.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept;
  Graph& operator=(Graph&& other) noexcept;
  ~Graph();
  void launch(CUstream_st* stream) const;
  /// GPU time of `replays` launches in a row on `stream`, in milliseconds, between two events.
  float time(CUstream_st* stream, int replays) const;
  std::size_t nodes() const noexcept { return nodes_; }

 private:
  friend class Device;
  std::shared_ptr<const Device> device_;
  void* exec_ = nullptr;
  std::size_t nodes_ = 0;
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_DRIVER_H_
