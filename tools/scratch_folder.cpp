#include "tools/scratch_folder.h"

#include <fmt/format.h>
#include <stdlib.h>  // mkdtemp

#include <cerrno>
#include <string>
#include <system_error>

#include "ropejit/error.h"

namespace ropejit {

ScratchFolder::ScratchFolder() {
  std::error_code unusable;
  const std::filesystem::path above = std::filesystem::temp_directory_path(unusable);
  std::string name = ((unusable ? "/tmp" : above) / "ropejit-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    const std::error_code error(errno, std::generic_category());
    throw Error(ErrorCode::io,
                fmt::format("cannot create a temporary folder {}: {}; set TMPDIR to a folder that "
                            "can be written",
                            name, error.message()));
  }
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace ropejit
