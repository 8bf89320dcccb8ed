#ifndef ROPEJIT_TOOLS_TUNE_SEARCH_H_
#define ROPEJIT_TOOLS_TUNE_SEARCH_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "ropejit/config.h"
#include "tools/tune_measurer.h"
#include "tools/tune_record.h"

namespace ropejit {

struct SearchOptions {
  /// How much may be measured in a cell: a config in a round is one measurement.
  int measurements = 1000;
  /// And how long that may take once the kernels are compiled; 0: any time.
  double seconds = 0;
  /// Of what is left to chance. The same seed and the same times give the same choice.
  std::uint64_t seed = 1;
  /// Measures the whole space, every config `exhaustive_rounds` times, whatever the limits say, and
  /// then the best of it as always.
  bool exhaustive = false;
  int exhaustive_rounds = 7;
};

/// What is known before a search.
struct SearchStart {
  std::optional<LaunchConfig> neighbour{};  ///< what was chosen for the cell before
  std::vector<Candidate> rejected{};        ///< configs that failed; they are not tried again
};

/// Looks for the fastest config of a cell.
///
/// Half of the budget at most goes into finding candidates, one round each: all of the space where
/// that is enough for it; else from the default and from the neighbour's choice it goes to the
/// fastest neighbour as long as that is faster, and then starts again from kernels that were not
/// tried yet, at last from anywhere. A fifth goes into rounds that halve the number of candidates;
/// who stays is the fastest few and, of those that may be as fast, the most preferred. The rest
/// goes into final rounds between the last twelve, with the default and the neighbour's choice
/// among them, until more rounds could not change what choose() says (see tune_select.h). Configs
/// that fail are recorded with the reason, and not timed any more.
///
/// When `stop` becomes true, it returns within a round, with a record that is not complete. Throws
/// what the measurer throws, MeasureFailure apart.
CellRecord search_cell(const TuneCell& cell, Measurer& measurer, const SearchStart& start,
                       const SearchOptions& options, const std::atomic<bool>& stop);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_SEARCH_H_
