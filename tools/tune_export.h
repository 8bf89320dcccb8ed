#ifndef ROPEJIT_TOOLS_TUNE_EXPORT_H_
#define ROPEJIT_TOOLS_TUNE_EXPORT_H_

#include <string>
#include <vector>

#include "tools/tune_record.h"

namespace ropejit {

// What was measured, in the formats that tools for the comparison of autotuners read. Times are
// milliseconds, as there. What ropejit does not measure by config, the search itself, is 0.

/// All timed and all rejected configs of all cells, as results in the format T4 (version 1.0.0; see
/// van Werkhoven et al., Kernel Tuner's schema/T4/1.0.0/results-schema.json). A configuration has
/// the cell's spec and token count among its parameters.
std::string to_t4(const Recording& recording);

/// A file to be written.
struct ExportedFile {
  std::string path;
  std::string text;
};

/// The same as cache files of Kernel Tuner (version 1.1.0; its schema/cache/1.1.0/schema.json).
/// Such a file holds one problem: the only cell goes to `path`; of several, each to a file of its
/// own, with its kernel and token count before the extension.
std::vector<ExportedFile> to_cache_files(const Recording& recording, const std::string& path);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_EXPORT_H_
