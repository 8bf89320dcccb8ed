#ifndef ROPEJIT_SRC_REPLACE_FILE_H_
#define ROPEJIT_SRC_REPLACE_FILE_H_

#include <string>
#include <string_view>

namespace ropejit {

/// Writes `text` beside `path` and renames it, so that readers see the old file or the new one.
/// Folders on the way are made. Throws Error(io) that names the path, the step and the reason.
void replace_file(const std::string& path, std::string_view text);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_REPLACE_FILE_H_
