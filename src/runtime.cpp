#include "ropejit/runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "ropejit/reference.h"
#include "src/build.h"
#include "src/for_each_index.h"
#include "src/kernel_plan.h"
#include "src/prewarm.h"
#include "src/rope.h"
#include "src/single_flight.h"
#include "src/source.h"
#include "src/tuning_table.h"

namespace ropejit {
namespace {

std::string environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? std::string() : std::string(value);
}

/// The lines of a message as one, for the log.
std::string one_line(std::string_view message) {
  std::string line;
  for (std::size_t i = 0; i < message.size(); ++i) {
    if (message[i] != '\n') {
      line += message[i];
      continue;
    }
    line += "; ";
    while (i + 1 < message.size() && message[i + 1] == ' ') ++i;
  }
  return line;
}

/// The user's folder of a kind: what the variable of the XDG base directories names, else the
/// default below the home folder; empty where there is neither.
std::string user_folder(const char* variable, const std::string& below_home) {
  if (const std::string xdg = environment(variable); !xdg.empty()) return xdg + "/ropejit";
  if (const std::string home = environment("HOME"); !home.empty()) return home + below_home;
  return {};
}

std::string cache_folder() {
  const std::string own = environment("ROPEJIT_CACHE_DIR");
  return own.empty() ? user_folder("XDG_CACHE_HOME", "/.cache/ropejit") : own;
}

std::string user_tuned_file() {
  const std::string folder = user_folder("XDG_CONFIG_HOME", "/.config/ropejit");
  return folder.empty() ? folder : folder + "/tuned.json";
}

BucketConfigs same_config(const LaunchConfig& config) {
  BucketConfigs configs;
  configs.fill(config);
  return configs;
}

}  // namespace

RuntimeOptions RuntimeOptions::from_environment() {
  RuntimeOptions options;
  options.cache_dir = cache_folder();
  options.tuned_file = environment("ROPEJIT_TUNED");
  options.default_tuned_file = user_tuned_file();
  options.system_tuned_file = "/etc/ropejit/tuned.json";
  options.nvrtc_library = environment("ROPEJIT_NVRTC");
  options.cuda_library = environment("ROPEJIT_CUDA");
  options.allow_compile = environment("ROPEJIT_NO_COMPILE") != "1";
  options.cpu_fallback = environment("ROPEJIT_CPU_FALLBACK") == "1";
  return options;
}

struct Runtime::State {
  explicit State(RuntimeOptions given)
      : options(std::move(given)),
        builder({options.cache_dir, options.allow_compile, options.nvrtc_library, options.log},
                *counters) {}

  std::shared_ptr<const Device> open_device(int ordinal);
  const TuningTable& table();
  std::shared_ptr<const Kernel> load(const KernelPlan::Kernel& planned,
                                     const std::shared_ptr<const Device>& device,
                                     const std::function<void()>& before_compiling = {});
  std::vector<std::shared_ptr<const Kernel>> load_all(const KernelPlan& plan,
                                                      const std::shared_ptr<const Device>& device);
  std::shared_ptr<const Kernel> load_bytes(const PreparedBuild& prepared,
                                           const std::shared_ptr<const Device>& device,
                                           const std::function<void()>& before_compiling);
  Rope rope_on_gpu(const RopeSpec& spec, const Frequencies& frequencies,
                   const std::shared_ptr<const Device>& device, const KernelPlan& plan);

  const RuntimeOptions options;
  // Shared with the Ropes, which may outlive the Runtime.
  const std::shared_ptr<Counters> counters = std::make_shared<Counters>();
  Builder builder;
  std::mutex device_mutex;
  std::shared_ptr<const Driver> driver;
  std::map<int, std::shared_ptr<const Device>> devices;
  SingleFlight<std::shared_ptr<const Kernel>> kernels;
  std::mutex tuning_mutex;
  std::optional<TuningTable> tuning;
};

const TuningTable& Runtime::State::table() {
  const std::lock_guard lock(tuning_mutex);
  if (!tuning) tuning = TuningTable::load(options);
  return *tuning;
}

std::shared_ptr<const Device> Runtime::State::open_device(int ordinal) {
  const std::lock_guard lock(device_mutex);
  if (driver == nullptr) driver = Driver::open(options.cuda_library);
  std::shared_ptr<const Device>& device = devices[ordinal];
  if (device == nullptr) {
    if (driver->device_count() == 0) {
      throw Error(ErrorCode::driver, fmt::format("{}: the driver sees no device", driver->path()));
    }
    device = Device::open(driver, ordinal);
  }
  return device;
}

/// A cubin from the folder that the driver refuses is rebuilt; one fresh from NVRTC is an error.
std::shared_ptr<const Kernel> Runtime::State::load_bytes(
    const PreparedBuild& prepared, const std::shared_ptr<const Device>& device,
    const std::function<void()>& before_compiling) {
  const BuiltCubin built = builder.build(prepared, Reuse::any_version, before_compiling);
  try {
    return device->load(built.cubin, "ropejit_rope");
  } catch (const Error& error) {
    if (built.compiled || error.code() != ErrorCode::driver || !options.allow_compile) throw;
    count(counters->driver_refused);
    if (options.log) {
      options.log(fmt::format("cache entry {}: refused by the driver ({}); rebuilding it",
                              built.key.hex(), error.what()));
    }
  }
  return device->load(builder.build(prepared, Reuse::nothing).cubin, "ropejit_rope");
}

std::shared_ptr<const Kernel> Runtime::State::load(const KernelPlan::Kernel& planned,
                                                   const std::shared_ptr<const Device>& device,
                                                   const std::function<void()>& before_compiling) {
  const PreparedBuild prepared({planned.spec, planned.config, device->info().arch()});
  const std::string name = fmt::format("{} {}", device->info().ordinal, prepared.key.hex());
  auto [kernel, made] =
      kernels.get(name, [&] { return load_bytes(prepared, device, before_compiling); });
  if (!made) count(counters->memory_hits);
  return std::move(kernel);
}

/// One after the other from memory or the cache folder, where a thread would cost more than it
/// gains; once one has to be compiled, it and the rest at the same time.
std::vector<std::shared_ptr<const Kernel>> Runtime::State::load_all(
    const KernelPlan& plan, const std::shared_ptr<const Device>& device) {
  const std::size_t count = plan.kernels.size();
  std::vector<std::shared_ptr<const Kernel>> loaded(count);
  std::size_t next = 0;
  std::future<void> rest;  // waits at its end, also for an exception
  const auto start_rest = [&] {
    if (next == count) return;
    rest = std::async(std::launch::async, [&, first = next] {
      for_each_index(count - first, 0, [&](std::size_t i) {
        loaded[first + i] = load(plan.kernels[first + i], device);
      });
    });
  };
  while (next < count && !rest.valid()) {
    const std::size_t i = next++;
    loaded[i] = load(plan.kernels[i], device, start_rest);
  }
  if (rest.valid()) rest.get();
  return loaded;
}

Rope Runtime::State::rope_on_gpu(const RopeSpec& spec, const Frequencies& frequencies,
                                 const std::shared_ptr<const Device>& device,
                                 const KernelPlan& plan) {
  auto state = std::make_shared<Rope::State>();
  state->spec = spec;
  state->attention_factor = frequencies.attention_factor;
  state->device = device->info().ordinal;
  state->counters = counters;
  state->alignment = effective_alignment(spec);
  const std::vector<std::shared_ptr<const Kernel>> loaded = load_all(plan, device);
  const auto launch = [&](const KernelPlan::Launch& planned) {
    const RopeSpec& kernel_spec = plan.kernels[planned.kernel].spec;
    return RopeKernel{loaded[planned.kernel], launch_shape(kernel_spec, planned.config)};
  };
  std::transform(plan.wide.begin(), plan.wide.end(), state->wide.begin(), launch);
  state->narrow = launch(plan.narrow);
  const std::size_t bytes = frequencies.turns.size() * sizeof(std::uint64_t);
  state->turns = device->allocate(bytes);
  state->staging = std::make_unique<Staging>(device, bytes);
  if (bytes != 0) {
    device->copy_to_device(state->turns.data(), frequencies.turns.data(), bytes);
    // A copy from pageable memory may return before its last bytes are on the device, and streams
    // that do not wait for the default stream are allowed.
    device->synchronize();
  }
  return Rope(std::move(state));
}

Runtime::Runtime(RuntimeOptions options) : state_(std::make_shared<State>(std::move(options))) {}
Runtime::~Runtime() = default;
Runtime::Runtime(Runtime&&) noexcept = default;
Runtime& Runtime::operator=(Runtime&&) noexcept = default;

Rope Runtime::rope(const RopeSpec& spec, const Frequencies& frequencies, int device,
                   const std::optional<LaunchConfig>& config) {
  validate(spec);
  if (config) validate(*config);
  validate(spec, frequencies);
  if (device < kCpuDevice) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("device = {}: must be an ordinal from 0, or kCpuDevice (-1)", device));
  }
  std::shared_ptr<const Device> opened;
  if (device != kCpuDevice) {
    try {
      opened = state_->open_device(device);
    } catch (const Error& error) {
      if (!state_->options.cpu_fallback || error.code() != ErrorCode::driver) throw;
      if (state_->options.log) {
        state_->options.log("no usable GPU, computing on the CPU: " + one_line(error.what()));
      }
    }
  }
  if (opened != nullptr) {
    const KernelPlan plan = config ? plan_kernels(spec, same_config(*config))
                                   : state_->table().plan(spec, device_class(opened->info()));
    return state_->rope_on_gpu(spec, frequencies, opened, plan);
  }
  auto state = std::make_shared<Rope::State>();
  state->spec = spec;
  state->attention_factor = frequencies.attention_factor;
  state->frequencies = std::make_unique<HostFrequencies>(frequencies);
  state->counters = state_->counters;
  return Rope(std::move(state));
}

ConfigChoice Runtime::explain(const RopeSpec& spec, int device, std::int64_t tokens) {
  if (device < 0) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("device = {}: must be an ordinal from 0; the CPU takes no config", device));
  }
  return explain(spec, device_class(state_->open_device(device)->info()), tokens);
}

ConfigChoice Runtime::explain(const RopeSpec& spec, const DeviceClass& device_class,
                              std::int64_t tokens) {
  validate(spec);
  if (tokens < 1) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("tokens = {}: must be at least 1", tokens));
  }
  return state_->table().choose(spec, device_class, tokens);
}

std::vector<PrewarmResult> Runtime::prewarm(
    std::span<const RopeSpec> specs, std::span<const std::string> archs, int threads,
    const std::function<void(std::size_t, std::size_t, const PrewarmResult&)>& progress) {
  return ropejit::prewarm(state_->builder, state_->table(), specs, archs, threads, progress);
}

Stats Runtime::stats() const {
  const Counters& counters = *state_->counters;
  return {counters.memory_hits,    counters.disk_hits,       counters.misses,
          counters.damaged,        counters.driver_refused,  counters.compiles,
          counters.write_failures, counters.unaligned_calls, state_->builder.compiler_opened()};
}

const RuntimeOptions& Runtime::options() const noexcept { return state_->options; }

}  // namespace ropejit
