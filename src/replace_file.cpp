#include "src/replace_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "ropejit/error.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

/// A file beside `target` that disappears again unless it is renamed to it.
class Draft {
 public:
  explicit Draft(const std::string& target) : target_(target), path_(target + ".XXXXXX") {
    descriptor_ = ::mkstemp(path_.data());
    if (descriptor_ < 0) fail("create a file beside it");
  }
  ~Draft() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!published_ && !path_.empty()) ::unlink(path_.c_str());
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  void write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = ::write(descriptor_, text.data(), text.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) fail("write");
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  void publish() {
    constexpr mode_t kMode = 0644;  // mkstemp gives the file to its owner alone
    if (::fchmod(descriptor_, kMode) != 0 || ::fsync(descriptor_) != 0) fail("write");
    const int result = ::close(descriptor_);
    descriptor_ = -1;
    if (result != 0 || ::rename(path_.c_str(), target_.c_str()) != 0) fail("replace");
    published_ = true;
  }

 private:
  [[noreturn]] void fail(std::string_view step) const {
    throw Error(ErrorCode::io, fmt::format("{}: cannot {}: {}", target_, step,
                                           std::generic_category().message(errno)));
  }

  std::string target_;
  std::string path_;
  int descriptor_ = -1;
  bool published_ = false;
};

}  // namespace

void replace_file(const std::string& path, std::string_view text) {
  std::error_code ignored;  // what cannot be made shows when the file is
  fs::create_directories(fs::path(path).parent_path(), ignored);
  Draft draft(path);
  draft.write(text);
  draft.publish();
}

}  // namespace ropejit
