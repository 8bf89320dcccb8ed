#ifndef ROPEJIT_TOOLS_TUNE_TIMER_H_
#define ROPEJIT_TOOLS_TUNE_TIMER_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "ropejit/runtime.h"
#include "src/driver.h"
#include "tools/tune_measurer.h"
#include "tools/workload_ring.h"

namespace ropejit {

/// Times the configs of one cell on a device: each as two CUDA graphs of many calls, out of place
/// and in place, that walk through rings of buffers (see workload.h), are kept, and are replayed
/// whenever a time is wanted. All graphs of a way have as many calls.
class CellTimer {
 public:
  /// Borrows `runtime`, which has the kernels. Throws Error(driver), for lack of memory for
  /// example.
  CellTimer(Runtime& runtime, std::shared_ptr<const Device> device, const TuneCell& cell);

  /// Makes the graphs of a config, unless they are there. Throws Error(driver).
  void prepare(const LaunchConfig& config);
  /// Of a config that was prepared. Throws Error(driver).
  CallTimes time(const LaunchConfig& config) const;

  std::int64_t tokens() const noexcept { return tokens_; }

 private:
  /// A config's calls, and what they need to stay alive.
  struct Entry {
    LaunchConfig config;
    Rope rope;
    Graph out_of_place;
    Graph in_place;
  };
  /// One of the two ways to call.
  struct Way {
    WorkloadRing ring;
    std::size_t calls = 0;  ///< of a graph; 0 until the first one is made
  };

  Graph capture(const Way& way, const Rope& rope, std::size_t calls) const;
  Graph capture(Way& way, const Rope& rope) const;
  double replay(const Graph& graph, std::size_t calls) const;
  const Entry* find(const LaunchConfig& config) const;

  Runtime& runtime_;
  std::shared_ptr<const Device> device_;
  const std::int64_t tokens_;
  const Stream stream_;
  Way out_of_place_;
  Way in_place_;
  std::vector<Entry> entries_;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_TIMER_H_
