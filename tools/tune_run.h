#ifndef ROPEJIT_TOOLS_TUNE_RUN_H_
#define ROPEJIT_TOOLS_TUNE_RUN_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/inputs.h"
#include "tools/tune_measurer.h"
#include "tools/tune_record.h"
#include "tools/tune_search.h"
#include "tools/tune_select.h"

namespace ropejit {

/// The token counts that are tuned unless others are named: every bucket where calls begin to fill
/// a device, and fewer where they are far from it or beyond, so that no call of up to 65536 tokens
/// is further than one bucket from one of them.
inline constexpr const char* kDefaultTuneTokens = "1,8,64,256,512,1024,2048,8192,32768";

/// Every spec at every token count, these ascending. Of specs that are tuned alike (see SpecClass)
/// the first stands for all.
std::vector<TuneCell> tune_cells(std::span<const Input> inputs, std::vector<std::int64_t> tokens);

/// What has just been done of a tuning.
struct TuneStep {
  std::size_t done = 0;
  std::size_t total = 0;
  std::string name;                  ///< such as `d128 ... a16, 256 tokens`
  const CellRecord* cell = nullptr;  ///< absent: it could not be measured at all
  std::string problem{};             ///< then: why
  std::optional<Choice> choice{};    ///< nothing: no config could be measured
  bool resumed = false;              ///< it was in `earlier`
  double seconds = 0;
};

/// Tunes cells one after the other. What `earlier` has of them is not done again: complete cells
/// are taken as they are, and configs that crashed are not tried for their spec any more. Calls
/// `on_cell` after each. When `stop` becomes true, it ends soon,
/// with a last cell that is not complete. The result has the cells in their order. A cell that does
/// not fit into the device's memory is left out; other Errors are thrown.
Recording tune(std::span<const TuneCell> cells, Measurer& measurer, const Recording& earlier,
               const SearchOptions& options, const std::atomic<bool>& stop,
               const std::function<void(const TuneStep&)>& on_cell);

/// The choices for the cells of a recording, which stand by spec and ascending token count.
std::vector<std::optional<Choice>> choices_of(const Recording& recording);

/// What a tuned file says of a recording: an entry for each complete cell with a choice.
TuningRun tuning_run(const Recording& recording);

/// `file` with `run` in it: entries of the same device class, spec class and token count give way.
TuningFile with_run(TuningFile file, const TuningRun& run);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_RUN_H_
