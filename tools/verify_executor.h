#ifndef ROPEJIT_TOOLS_VERIFY_EXECUTOR_H_
#define ROPEJIT_TOOLS_VERIFY_EXECUTOR_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ropejit/args.h"
#include "ropejit/runtime.h"
#include "ropejit/spec.h"
#include "src/driver.h"
#include "src/single_flight.h"
#include "tools/case_memory.h"
#include "tools/host_kernel.h"
#include "tools/verify_case.h"

namespace ropejit {

/// Something that carries a call out. Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;
  /// Carries out a case's call, with its spec, frequencies and config. All pointers of `args` point
  /// into `blocks`, host memory that holds the result on return. Throws Error.
  virtual void execute(const VerifyCase& test, const RopeArgs& args, std::span<Block> blocks) = 0;
  /// A launch config for every kernel that calls which keep the spec's alignment may take, by their
  /// token count. Empty: there is no choice.
  virtual std::vector<LaunchConfig> configs(const RopeSpec& spec) = 0;
};

/// The generated templates on the host, compiled by the system's C++ compiler: chooses the kernel
/// and plans the launch as Rope::apply does. Every kernel is compiled once.
class HostExecutor : public Executor {
 public:
  /// Deviations from what Rope::apply does, for tests.
  struct Options {
    bool force_wide = false;                                   ///< takes the 64-bit index path
    std::function<std::string(const std::string&)> edit_text;  ///< of the source
  };
  /// Throws Error(unsupported) where there is no C++ compiler.
  HostExecutor();
  explicit HostExecutor(Options options);
  /// Error(driver), as a device would, for a misaligned access.
  void execute(const VerifyCase& test, const RopeArgs& args, std::span<Block> blocks) override;
  std::vector<LaunchConfig> configs(const RopeSpec& spec) override;

 private:
  const HostKernel& kernel_for(const RopeSpec& kernel_spec, const LaunchConfig& config);

  Options options_;
  HostCompiler compiler_;
  SingleFlight<std::shared_ptr<const HostKernel>> kernels_;  ///< by source text
};

/// Rope::apply on a device: copies every block there, translates the pointers, applies, waits and
/// copies every block back.
class DeviceExecutor : public Executor {
 public:
  /// Borrows `runtime`. Throws Error(driver) where there is no such device.
  DeviceExecutor(Runtime& runtime, int device);
  void execute(const VerifyCase& test, const RopeArgs& args, std::span<Block> blocks) override;
  std::vector<LaunchConfig> configs(const RopeSpec& spec) override;
  const Device& device() const noexcept { return *device_; }

 private:
  Runtime& runtime_;
  std::shared_ptr<const Device> device_;
};

/// The CPU implementation.
class ReferenceExecutor : public Executor {
 public:
  void execute(const VerifyCase& test, const RopeArgs& args, std::span<Block> blocks) override;
  std::vector<LaunchConfig> configs(const RopeSpec& spec) override;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_VERIFY_EXECUTOR_H_
