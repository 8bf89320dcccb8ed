#ifndef ROPEJIT_TOOLS_TUNE_SESSION_H_
#define ROPEJIT_TOOLS_TUNE_SESSION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ropejit/runtime.h"
#include "src/tuning_table.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/tune_device.h"
#include "tools/tune_record.h"
#include "tools/tune_replay.h"
#include "tools/tune_search.h"

namespace ropejit {

/// The file beside a tuned file in which an interrupted tuning leaves what it has measured.
class Checkpoint {
 public:
  /// `out` is the tuned file; empty: there is no checkpoint.
  explicit Checkpoint(const std::string& out) : path_(out.empty() ? "" : out + ".checkpoint") {}

  /// What an earlier tuning has left, or `origin` if there is nothing. Throws Failure(usage) if it
  /// is from another device, driver, compiler or version, which it names.
  Recording load(const Recording& origin) const;
  /// Begins anew, without cells.
  void start(const Recording& origin);
  void add(const CellRecord& cell);
  void remove() const;
  /// A sentence for whoever interrupted a tuning.
  std::string advice() const;

 private:
  void save() const;

  std::string path_;
  Recording origin_;
  std::vector<std::string> cells_;  ///< as they are written
};

/// A device or a recording to tune on, and what is to be said of it.
class TuneSession {
 public:
  TuneSession(const Recording& replayed, std::uint64_t seed);
  /// Borrows `progress`, which receives what the library logs, and `interrupt`. Warms the device
  /// up. Throws Failure(environment) where there is none, or no NVRTC.
  TuneSession(const std::optional<std::string>& cache_dir, int device, unsigned threads,
              const SearchOptions& search, Progress& progress, Interrupt& interrupt);

  /// What the tuned files of this machine have for the cell's spec, at its token count or the
  /// nearest that they have. Nothing if no file knows the spec.
  std::optional<LaunchConfig> in_use(const TuneCell& cell) const;
  Measurer& measurer() noexcept { return *measurer_; }
  /// A recording without cells.
  const Recording& origin() const noexcept { return origin_; }
  /// Throws Failure(environment), with advice, if a config has taken the device with it.
  void check_device(const Checkpoint& checkpoint) const;

 private:
  std::optional<TuningTable> in_use_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Measurer> measurer_;
  const DeviceMeasurer* device_ = nullptr;  ///< measurer_, if it is one
  Recording origin_;
};

/// The complete cells of a recording, of the token counts in question; empty: of all.
std::vector<TuneCell> recorded_cells(const Recording& recording,
                                     const std::vector<std::int64_t>& tokens);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_SESSION_H_
