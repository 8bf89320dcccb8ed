#include <fmt/format.h>

#include <utility>

#include "src/driver.h"
#include "src/driver_api.h"

namespace ropejit {
namespace {

CUdeviceptr address(const void* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); }

/// A stream capture and the graph that comes of it. Left early, it ends the capture, so that the
/// stream is usable again.
class Capture {
 public:
  Capture(const Driver::Api& api, CUstream stream) : api_(api), stream_(stream) {
    api_.call(api_.stream_begin_capture, stream_, CU_STREAM_CAPTURE_MODE_GLOBAL);
  }
  ~Capture() {
    if (!ended_) api_.stream_end_capture.function(stream_, &graph_);
    if (graph_ != nullptr) api_.graph_destroy.function(graph_);
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  CUgraph end() {
    ended_ = true;
    api_.call(api_.stream_end_capture, stream_, &graph_);
    return graph_;
  }

 private:
  const Driver::Api& api_;
  CUstream stream_;
  CUgraph graph_ = nullptr;
  bool ended_ = false;
};

}  // namespace

std::shared_ptr<const Device> Device::open(std::shared_ptr<const Driver> driver, int ordinal) {
  const std::shared_ptr<Device> device(new Device);
  device->driver_ = std::move(driver);
  device->info_ = device->driver_->device_info(ordinal);
  const Driver::Api& api = device->driver_->api();
  api.call(api.device_get, &device->handle_, ordinal);
  CUcontext context = nullptr;
  api.call(api.primary_ctx_retain, &context, device->handle_);
  device->context_ = context;
  return device;
}

Device::~Device() {
  if (context_ != nullptr) driver_->api().primary_ctx_release.function(handle_);
}

std::shared_ptr<const Kernel> Device::load(std::span<const std::byte> cubin,
                                           const std::string& kernel_name) const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  const OutsideCapture outside(api);
  const std::shared_ptr<Kernel> kernel(new Kernel);
  kernel->device_ = shared_from_this();
  kernel->name_ = kernel_name;

  CUlibrary library = nullptr;
  api.call_for(kernel_name, api.library_load_data, &library, cubin.data(), nullptr, nullptr, 0U,
               nullptr, nullptr, 0U);
  kernel->library_ = library;
  CUkernel entry = nullptr;
  api.call_for(kernel_name, api.library_get_kernel, &entry, library, kernel_name.c_str());
  // This is what puts the code on the device. Under CUDA_MODULE_LOADING=LAZY, CUDA's default, it
  // would else happen in the first launch, which may be inside a stream capture.
  CUfunction function = nullptr;
  api.call_for(kernel_name, api.kernel_get_function, &function, entry);
  kernel->function_ = function;
  api.call_for(kernel_name, api.func_get_attribute, &kernel->registers_, CU_FUNC_ATTRIBUTE_NUM_REGS,
               function);
  api.call_for(kernel_name, api.func_get_attribute, &kernel->local_bytes_,
               CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, function);
  return kernel;
}

DeviceBuffer Device::allocate(std::size_t bytes) const {
  DeviceBuffer buffer;
  if (bytes == 0) return buffer;
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  const OutsideCapture outside(api);
  CUdeviceptr data = 0;
  api.call(api.mem_alloc, &data, bytes);
  buffer.device_ = shared_from_this();
  // CUdeviceptr is an integer. NOLINTNEXTLINE(performance-no-int-to-ptr)
  buffer.data_ = reinterpret_cast<void*>(data);
  buffer.size_ = bytes;
  return buffer;
}

PinnedBuffer Device::allocate_pinned(std::size_t bytes) const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  const OutsideCapture outside(api);
  void* data = nullptr;
  api.call(api.mem_host_alloc, &data, bytes, 0U);
  PinnedBuffer buffer;
  buffer.device_ = shared_from_this();
  buffer.data_ = static_cast<std::byte*>(data);
  return buffer;
}

void Device::copy_to_device(void* device, const void* host, std::size_t bytes) const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  if (bytes != 0) api.call(api.memcpy_htod, address(device), host, bytes);
}

void Device::copy_to_host(void* host, const void* device, std::size_t bytes) const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  if (bytes != 0) api.call(api.memcpy_dtoh, host, address(device), bytes);
}

void Device::copy_async(void* to, const void* from, std::size_t bytes, CUstream_st* stream) const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  if (bytes != 0) api.call(api.memcpy_async, address(to), address(from), bytes, stream);
}

void Device::fill_async(void* device, unsigned char value, std::size_t bytes,
                        CUstream_st* stream) const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  if (bytes != 0) api.call(api.memset_d8_async, address(device), value, bytes, stream);
}

void Device::synchronize() const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  api.call(api.ctx_synchronize);
}

Stream Device::create_stream() const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  Stream stream;
  api.call(api.stream_create, &stream.stream_, static_cast<unsigned>(CU_STREAM_NON_BLOCKING));
  stream.device_ = shared_from_this();
  return stream;
}

Event Device::create_event() const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  Event event;
  api.call(api.event_create, &event.event_, static_cast<unsigned>(CU_EVENT_DEFAULT));
  event.device_ = shared_from_this();
  return event;
}

bool Device::is_capturing(CUstream_st* stream) const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  api.call(api.stream_is_capturing, stream, &status);
  return status != CU_STREAM_CAPTURE_STATUS_NONE;
}

void Device::with_context(const std::function<void()>& work) const {
  const CurrentContext current(driver_->api(), context_);
  work();
}

Graph Device::capture(CUstream_st* stream, const std::function<void()>& work) const {
  const Driver::Api& api = driver_->api();
  const CurrentContext current(api, context_);
  Capture capture(api, stream);
  work();
  const CUgraph recorded = capture.end();

  Graph graph;
  graph.device_ = shared_from_this();
  api.call(api.graph_get_nodes, recorded, nullptr, &graph.nodes_);
  CUgraphExec exec = nullptr;
  api.call(api.graph_instantiate, &exec, recorded, 0ULL);
  graph.exec_ = exec;
  return graph;
}

Kernel::~Kernel() {
  if (library_ == nullptr) return;
  const Driver::Api& api = device_->driver_->api();
  release(api, device_->context_, api.library_unload, static_cast<CUlibrary>(library_));
}

void Kernel::launch(const void* params, unsigned grid, unsigned block, CUstream_st* stream,
                    bool dependent) const {
  const Driver::Api& api = device_->driver_->api();
  CUlaunchConfig config{};
  config.gridDimX = grid;
  config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = block;
  config.blockDimY = config.blockDimZ = 1;
  config.hStream = stream;
  CUlaunchAttribute attribute;  // a large union, not to be cleared for nothing
  if (dependent && device_->info_.major >= 9) {
    attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attribute.value.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = 1;
  }
  void* arguments[] = {const_cast<void*>(params)};  // CUDA reads it, though its type says else
  // The device's context is nearly always current, and asking first costs as much as our own work.
  const CUresult result = api.launch_kernel_ex.function(&config, static_cast<CUfunction>(function_),
                                                        arguments, nullptr);
  if (result == CUDA_SUCCESS) return;
  const bool may_be_context = result == CUDA_ERROR_INVALID_CONTEXT ||
                              result == CUDA_ERROR_CONTEXT_IS_DESTROYED ||
                              result == CUDA_ERROR_INVALID_HANDLE;
  if (!may_be_context) api.check(name_, api.launch_kernel_ex, result);
  const CurrentContext current(api, device_->context_);
  if (!current.pushed()) api.check(name_, api.launch_kernel_ex, result);
  api.call_for(name_, api.launch_kernel_ex, &config, static_cast<CUfunction>(function_), arguments,
               nullptr);
}

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : device_(std::move(other.device_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  DeviceBuffer taken(std::move(other));
  std::swap(device_, taken.device_);
  std::swap(data_, taken.data_);
  std::swap(size_, taken.size_);
  return *this;
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ == nullptr) return;
  const Driver::Api& api = device_->driver_->api();
  release(api, device_->context_, api.mem_free, address(data_));
}

PinnedBuffer::PinnedBuffer(PinnedBuffer&& other) noexcept
    : device_(std::move(other.device_)), data_(std::exchange(other.data_, nullptr)) {}

PinnedBuffer& PinnedBuffer::operator=(PinnedBuffer&& other) noexcept {
  PinnedBuffer taken(std::move(other));
  std::swap(device_, taken.device_);
  std::swap(data_, taken.data_);
  return *this;
}

PinnedBuffer::~PinnedBuffer() {
  if (data_ == nullptr) return;
  const Driver::Api& api = device_->driver_->api();
  release(api, device_->context_, api.mem_free_host, static_cast<void*>(data_));
}

Event::Event(Event&& other) noexcept
    : device_(std::move(other.device_)), event_(std::exchange(other.event_, nullptr)) {}

Event& Event::operator=(Event&& other) noexcept {
  Event taken(std::move(other));
  std::swap(device_, taken.device_);
  std::swap(event_, taken.event_);
  return *this;
}

Event::~Event() {
  if (event_ == nullptr) return;
  const Driver::Api& api = device_->driver_->api();
  release(api, device_->context_, api.event_destroy, event_);
}

void Event::record(CUstream_st* stream) const {
  const Driver::Api& api = device_->driver_->api();
  const CurrentContext current(api, device_->context_);
  api.call(api.event_record, event_, stream);
}

void Event::synchronize() const {
  const Driver::Api& api = device_->driver_->api();
  const CurrentContext current(api, device_->context_);
  const OutsideCapture outside(api);
  api.call(api.event_synchronize, event_);
}

float Event::milliseconds_since(const Event& earlier) const {
  const Driver::Api& api = device_->driver_->api();
  const CurrentContext current(api, device_->context_);
  float milliseconds = 0;
  api.call(api.event_elapsed_time, &milliseconds, earlier.event_, event_);
  return milliseconds;
}

Stream::Stream(Stream&& other) noexcept
    : device_(std::move(other.device_)), stream_(std::exchange(other.stream_, nullptr)) {}

Stream& Stream::operator=(Stream&& other) noexcept {
  Stream taken(std::move(other));
  std::swap(device_, taken.device_);
  std::swap(stream_, taken.stream_);
  return *this;
}

Stream::~Stream() {
  if (stream_ == nullptr) return;
  const Driver::Api& api = device_->driver_->api();
  release(api, device_->context_, api.stream_destroy, stream_);
}

void Stream::synchronize() const {
  const Driver::Api& api = device_->driver_->api();
  const CurrentContext current(api, device_->context_);
  api.call(api.stream_synchronize, stream_);
}

Graph::Graph(Graph&& other) noexcept
    : device_(std::move(other.device_)),
      exec_(std::exchange(other.exec_, nullptr)),
      nodes_(std::exchange(other.nodes_, 0)) {}

Graph& Graph::operator=(Graph&& other) noexcept {
  Graph taken(std::move(other));
  std::swap(device_, taken.device_);
  std::swap(exec_, taken.exec_);
  std::swap(nodes_, taken.nodes_);
  return *this;
}

Graph::~Graph() {
  if (exec_ == nullptr) return;
  const Driver::Api& api = device_->driver_->api();
  release(api, device_->context_, api.graph_exec_destroy, static_cast<CUgraphExec>(exec_));
}

void Graph::launch(CUstream_st* stream) const {
  const Driver::Api& api = device_->driver_->api();
  const CurrentContext current(api, device_->context_);
  api.call(api.graph_launch, static_cast<CUgraphExec>(exec_), stream);
}

float Graph::time(CUstream_st* stream, int replays) const {
  if (replays < 1) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("replays: {} is too few; it must be at least 1", replays));
  }
  const Driver::Api& api = device_->driver_->api();
  const CurrentContext current(api, device_->context_);
  const Event before = device_->create_event();
  const Event after = device_->create_event();
  before.record(stream);
  for (int i = 0; i < replays; ++i) {
    api.call(api.graph_launch, static_cast<CUgraphExec>(exec_), stream);
  }
  after.record(stream);
  after.synchronize();
  return after.milliseconds_since(before);
}

}  // namespace ropejit
