#ifndef ROPEJIT_TOOLS_SCRATCH_FOLDER_H_
#define ROPEJIT_TOOLS_SCRATCH_FOLDER_H_

#include <filesystem>

namespace ropejit {

/// A folder that nobody else can enter, below $TMPDIR or /tmp, removed with all it holds.
class ScratchFolder {
 public:
  /// Throws Error(io) that names the folder above it and the reason.
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_SCRATCH_FOLDER_H_
