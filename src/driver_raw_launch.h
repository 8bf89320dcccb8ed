#ifndef ROPEJIT_SRC_DRIVER_RAW_LAUNCH_H_
#define ROPEJIT_SRC_DRIVER_RAW_LAUNCH_H_

#include <memory>

#include "src/driver.h"

namespace ropejit {

/// A launch of which nothing is left to do but the one call of cuLaunchKernelEx: what every other
/// way to launch is measured against. As long as it lives, the device's context is current on the
/// thread that made it, where alone it may be used and destroyed.
class RawLaunch {
 public:
  /// As Kernel::launch. Borrows `params`.
  RawLaunch(std::shared_ptr<const Kernel> kernel, const void* params, unsigned grid, unsigned block,
            CUstream_st* stream);
  ~RawLaunch();
  RawLaunch(const RawLaunch&) = delete;
  RawLaunch& operator=(const RawLaunch&) = delete;

  /// Whether CUDA calls it a success.
  bool launch() const noexcept;

 private:
  struct Prepared;
  std::shared_ptr<const Kernel> kernel_;
  std::unique_ptr<const Prepared> prepared_;
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_DRIVER_RAW_LAUNCH_H_
