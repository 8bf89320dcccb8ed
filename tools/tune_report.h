#ifndef ROPEJIT_TOOLS_TUNE_REPORT_H_
#define ROPEJIT_TOOLS_TUNE_REPORT_H_

#include <cstddef>
#include <set>
#include <string>

#include "tools/progress.h"
#include "tools/tune_run.h"

namespace ropejit {

/// What a tuning says while it goes on and at its end.
class TuneReport {
 public:
  /// Borrows `progress`.
  explicit TuneReport(Progress& progress) : progress_(progress) {}

  /// A step of the bar, or a line; and a note for every config that was rejected, the first time
  /// for its spec, and for a cell that was left out.
  void on_step(const TuneStep& step);

  /// Lines with the gain over the defaults, and `tuned N, default M, rejected K, left out L`:
  /// cells, those of them where the default was chosen, configs, and cells without a result.
  std::string summary() const;
  /// Whether a config was rejected or a cell has nothing to choose.
  bool failed() const noexcept { return rejected_ > 0 || without_choice_ > 0; }
  std::size_t tuned() const noexcept { return tuned_; }

 private:
  void note_rejected(const CellRecord& cell);
  void count_gain(const CellRecord& cell, const Choice& choice);

  Progress& progress_;
  std::set<std::string> noted_;
  std::size_t tuned_ = 0;
  std::size_t default_ = 0;
  std::size_t rejected_ = 0;
  std::size_t left_out_ = 0;
  std::size_t without_choice_ = 0;
  double log_gain_ = 0;  ///< sum over the cells whose default was measured
  std::size_t gains_ = 0;
  double best_gain_ = 0;
  std::string best_cell_;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_REPORT_H_
