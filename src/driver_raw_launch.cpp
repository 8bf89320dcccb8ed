#include "src/driver_raw_launch.h"

#include <utility>

#include "src/driver_api.h"

namespace ropejit {

struct RawLaunch::Prepared {
  Prepared(const Driver::Api& api, void* context)
      : current(api, context), entry(api.launch_kernel_ex.function) {}

  CurrentContext current;
  decltype(&::cuLaunchKernelEx) entry;
  CUlaunchConfig config{};
  CUfunction function = nullptr;
  mutable void* arguments[1] = {};
};

RawLaunch::RawLaunch(std::shared_ptr<const Kernel> kernel, const void* params, unsigned grid,
                     unsigned block, CUstream_st* stream)
    : kernel_(std::move(kernel)) {
  const Device& device = kernel_->device();
  auto prepared = std::make_unique<Prepared>(device.driver().api(), device.context_);
  prepared->config.gridDimX = grid;
  prepared->config.blockDimX = block;
  prepared->config.gridDimY = prepared->config.gridDimZ = 1;
  prepared->config.blockDimY = prepared->config.blockDimZ = 1;
  prepared->config.hStream = stream;
  prepared->function = static_cast<CUfunction>(kernel_->function_);
  prepared->arguments[0] = const_cast<void*>(params);  // CUDA reads it, though its type says else
  prepared_ = std::move(prepared);
}

RawLaunch::~RawLaunch() = default;

bool RawLaunch::launch() const noexcept {
  const Prepared& p = *prepared_;
  return p.entry(&p.config, p.function, p.arguments, nullptr) == CUDA_SUCCESS;
}

}  // namespace ropejit
