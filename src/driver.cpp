#include "src/driver.h"

#include <fmt/format.h>

#include <array>
#include <utility>
#include <vector>

#include "src/driver_api.h"

namespace ropejit {
namespace {

/// CUDA 12.0 is the first with cuLibraryLoadData, which loads a cubin apart from any context.
constexpr int kOldestVersion = 12000;

constexpr std::array kSearchedLibraries = {
    "libcuda.so.1",  // the loader's search: LD_LIBRARY_PATH, ldconfig
    "/usr/local/nvidia/lib64/libcuda.so.1",
    "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
    "/usr/lib/wsl/lib/libcuda.so.1",
    "/usr/lib64/libcuda.so.1",
    "/usr/lib/aarch64-linux-gnu/libcuda.so.1",
    "/usr/lib/aarch64-linux-gnu/nvidia/libcuda.so.1",
    "/usr/lib/aarch64-linux-gnu/tegra/libcuda.so.1",
};

std::string version_text(int version) {
  return fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace

Driver::Api::Api(const std::string& file) : library(file, ErrorCode::driver) {
  // Never closed: libcuda runs threads of its own, and other users in the process share it.
  library.pin();
}

int Driver::Api::supported_version() const {
  int found = 0;
  const CUresult result = driver_get_version.function(&found);
  if (result != CUDA_SUCCESS) {
    throw Error(ErrorCode::driver, fmt::format("{}: {}", library.path(),
                                               describe(driver_get_version.name, result, {})));
  }
  if (found >= kOldestVersion) return found;
  throw Error(ErrorCode::driver,
              fmt::format("{}: the driver supports {}; ropejit needs a driver for {} or newer",
                          library.path(), version_text(found), version_text(kOldestVersion)));
}

std::string Driver::Api::describe(const char* call, CUresult result,
                                  std::string_view kernel) const {
  const char* name = nullptr;
  const char* description = nullptr;
  get_error_name.function(result, &name);
  get_error_string.function(result, &description);
  return fmt::format(
      "{}{}{} failed: {} ({}), CUDA error {}", call, kernel.empty() ? "" : " for kernel ", kernel,
      name != nullptr ? name : "an error without a name",
      description != nullptr ? description : "no description", static_cast<int>(result));
}

int Driver::Api::attribute(CUdevice device, CUdevice_attribute attribute) const {
  int value = 0;
  call(device_get_attribute, &value, attribute, device);
  return value;
}

int Driver::Api::attribute_or_zero(CUdevice device, CUdevice_attribute attribute) const {
  int value = 0;
  const CUresult result = device_get_attribute.function(&value, attribute, device);
  return result == CUDA_SUCCESS ? value : 0;
}

void Driver::Api::initialise() const {
  const CUresult result = init.function(0);
  if (result == CUDA_SUCCESS) return;
  throw Error(ErrorCode::driver,
              fmt::format("{}; libcuda is {}, for {}", describe(init.name, result, {}),
                          library.path(), version_text(version)));
}

Driver::Driver() = default;
Driver::~Driver() = default;

std::shared_ptr<const Driver> Driver::open(const std::string& library) {
  std::vector<std::string> files(kSearchedLibraries.begin(), kSearchedLibraries.end());
  if (!library.empty()) files = {library};
  std::string tried;
  for (const std::string& file : files) {
    const std::shared_ptr<Driver> driver(new Driver);
    try {
      driver->api_ = std::make_unique<Api>(file);
    } catch (const Error& error) {
      tried += fmt::format("\n  {}", error.what());
      continue;
    }
    driver->api_->initialise();
    return driver;
  }
  throw Error(ErrorCode::driver,
              fmt::format("cannot open the CUDA driver's library (libcuda); tried:{}", tried));
}

int Driver::version() const noexcept { return api_->version; }

const std::string& Driver::path() const noexcept { return api_->library.path(); }

int Driver::device_count() const {
  int count = 0;
  api_->call(api_->device_get_count, &count);
  return count;
}

DeviceInfo Driver::device_info(int ordinal) const {
  const int count = device_count();
  if (ordinal < 0 || ordinal >= count) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("device: {} is out of range; it must be at least 0 and less than {}, "
                            "the number of CUDA devices that the driver sees",
                            ordinal, count));
  }
  CUdevice device = 0;
  api_->call(api_->device_get, &device, ordinal);
  std::array<char, 256> device_name{};
  api_->call(api_->device_get_name, device_name.data(), static_cast<int>(device_name.size()),
             device);
  std::size_t memory = 0;
  api_->call(api_->device_total_mem, &memory, device);

  DeviceInfo info;
  info.ordinal = ordinal;
  info.name = device_name.data();
  info.major = api_->attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  info.minor = api_->attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  info.sm_count = api_->attribute(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  info.l2_bytes = api_->attribute(device, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
  info.memory_bytes = static_cast<std::int64_t>(memory);
  return info;
}

DeviceClocks Driver::clocks(int ordinal) const {
  CUdevice device = 0;
  api_->call(api_->device_get, &device, ordinal);
  return {api_->attribute_or_zero(device, CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
          api_->attribute_or_zero(device, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)};
}

}  // namespace ropejit
