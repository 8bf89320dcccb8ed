#include "cache/cubin_cache.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <system_error>
#include <utility>

namespace ropejit {
namespace {

namespace fs = std::filesystem;
using Lookup = CubinCache::Lookup;

constexpr std::string_view kEntrySuffix = ".cubin";
constexpr std::string_view kTemporaryPrefix = ".ropejit-";
constexpr std::string_view kTemporarySuffix = ".tmp";
constexpr std::int64_t kStaleSeconds = 3600;
// An attempt fails when clear() runs between its steps. Losing this often takes a clear() in a
// loop.
constexpr int kPublishAttempts = 10;
// What is executed on a GPU must not be writable by everybody, whatever the umask.
constexpr mode_t kFolderMode = 0755;
constexpr mode_t kFileMode = 0644;

std::system_error io_error(int error, std::string_view verb, const fs::path& path) {
  return std::system_error(error, std::generic_category(),
                           "cannot " + std::string(verb) + " " + path.string());
}

bool is_missing(int error) { return error == ENOENT || error == ENOTDIR; }

std::string entry_name(const Key& key) { return key.hex().append(kEntrySuffix); }

std::optional<Key> parse_entry_name(std::string_view name) {
  if (!name.ends_with(kEntrySuffix)) return std::nullopt;
  name.remove_suffix(kEntrySuffix.size());
  return Key::from_hex(name);
}

bool is_temporary_name(std::string_view name) {
  if (!name.starts_with(kTemporaryPrefix) || !name.ends_with(kTemporarySuffix)) return false;
  name.remove_prefix(kTemporaryPrefix.size());
  name.remove_suffix(kTemporarySuffix.size());
  return Key::from_hex(name).has_value();
}

// The process id is for people. The 96 random bits keep threads, forked children and hosts that
// share a folder apart.
std::string temporary_name() {
  Key unique;
  if (::getrandom(&unique, sizeof(unique), 0) != static_cast<ssize_t>(sizeof(unique))) {
    throw std::system_error(errno, std::generic_category(), "cannot get random bytes");
  }
  unique.high = unique.high >> 32 | static_cast<std::uint64_t>(::getpid()) << 32;
  return std::string(kTemporaryPrefix) + unique.hex() + std::string(kTemporarySuffix);
}

// mkdir -p. Asks what is there only when mkdir fails: automounters and read-only file systems
// refuse to make a folder that exists with other codes than EEXIST.
void create_folder(const fs::path& folder) {
  fs::path so_far;
  for (const fs::path& part : folder) {
    so_far /= part;
    if (::mkdir(so_far.c_str(), kFolderMode) == 0) continue;
    const int error = errno;
    struct stat status {};
    if (::stat(so_far.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) continue;
    throw io_error(error == EEXIST ? ENOTDIR : error, "create folder", so_far);
  }
}

int open_new_file(const fs::path& path) {
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode);
}

// A new file in the cache's folder that disappears again unless it is renamed to an entry.
// Creates the folder where it is missing. Every failure is a std::system_error.
class TemporaryFile {
 public:
  explicit TemporaryFile(const fs::path& folder) : path_(folder / temporary_name()) {
    if (folder.empty()) throw io_error(ENOENT, "create folder", "''");
    descriptor_ = open_new_file(path_);
    if (descriptor_ < 0 && errno == ENOENT) {
      create_folder(folder);
      descriptor_ = open_new_file(path_);
    }
    if (descriptor_ < 0) throw io_error(errno, "create", path_);
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  // The time by the clock that stamps the folder's files, which may be another host's.
  std::int64_t now() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) throw io_error(errno, "inspect", path_);
    return status.st_mtim.tv_sec;
  }

  void write_and_close(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
      if (count > 0) bytes = bytes.subspan(static_cast<std::size_t>(count));
      if (count == 0) throw io_error(EIO, "write", path_);
      if (count < 0 && errno != EINTR) throw io_error(errno, "write", path_);
    }
    // Network file systems and quotas report late writes here.
    if (::close(std::exchange(descriptor_, -1)) != 0) throw io_error(errno, "close", path_);
  }

  // Returns 0 or the error number.
  int rename_to(const fs::path& target) {
    if (::rename(path_.c_str(), target.c_str()) != 0) return errno;
    path_.clear();
    return 0;
  }

 private:
  fs::path path_;
  int descriptor_ = -1;
};

// What stands in a file: its bytes when `status` is hit, else why they are not to be had.
struct Contents {
  Lookup::Status status = Lookup::Status::hit;
  std::string reason;
  std::uint64_t file_bytes = 0;
  Bytes bytes;
};

Contents refused(int error, std::string_view verb, const fs::path& path) {
  return Contents{.status = Lookup::Status::unreadable,
                  .reason = io_error(error, verb, path).what(),
                  .file_bytes = 0,
                  .bytes = {}};
}

Contents damaged(std::string reason, std::uint64_t file_bytes) {
  return Contents{.status = Lookup::Status::damaged,
                  .reason = std::move(reason),
                  .file_bytes = file_bytes,
                  .bytes = {}};
}

// Stops early at the end of the file: the decoder then finds it truncated.
Contents read_open_file(int descriptor, const fs::path& path) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return refused(errno, "inspect", path);
  if (!S_ISREG(status.st_mode)) return damaged("not a regular file", 0);
  Contents contents;
  contents.file_bytes = static_cast<std::uint64_t>(status.st_size);
  if (contents.file_bytes > kMaxEntryBytes) {
    return damaged("too large: " + std::to_string(contents.file_bytes) + " bytes, at most " +
                       std::to_string(kMaxEntryBytes),
                   contents.file_bytes);
  }
  contents.bytes.resize(contents.file_bytes);
  std::size_t done = 0;
  while (done < contents.bytes.size()) {
    const ssize_t count =
        ::read(descriptor, contents.bytes.data() + done, contents.bytes.size() - done);
    if (count == 0) break;
    if (count > 0) done += static_cast<std::size_t>(count);
    if (count < 0 && errno != EINTR) return refused(errno, "read", path);
  }
  contents.bytes.resize(done);
  return contents;
}

Contents read_file(const fs::path& path) {
  // Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0 && is_missing(errno)) return Contents{Lookup::Status::absent, {}, 0, {}};
  if (descriptor < 0) return refused(errno, "open", path);
  Contents contents = read_open_file(descriptor, path);
  ::close(descriptor);
  return contents;
}

Lookup verify(const Contents& contents, const Key& key) {
  if (contents.status != Lookup::Status::hit) {
    return Lookup{contents.status, std::nullopt, contents.reason};
  }
  auto decoded = decode(contents.bytes, key);
  if (const Damage* damage = std::get_if<Damage>(&decoded)) {
    return Lookup{Lookup::Status::damaged, std::nullopt, damage->reason};
  }
  return Lookup{Lookup::Status::hit, std::get<Entry>(std::move(decoded)), {}};
}

// All names in the folder, sorted; none if there is no folder.
std::vector<std::string> names_in(const fs::path& folder) {
  std::error_code error;
  std::vector<std::string> names;
  fs::directory_iterator position(folder, error);
  while (!error && position != fs::directory_iterator()) {
    names.push_back(position->path().filename().string());
    position.increment(error);
  }
  std::error_code ignored;
  if (error && fs::status(folder, ignored).type() == fs::file_type::not_found) return {};
  if (error) throw fs::filesystem_error("cannot list the cubin cache", folder, error);
  std::sort(names.begin(), names.end());
  return names;
}

// Removes what crashed writers have left. Best effort: what cannot be removed does no harm.
void remove_stale_temporaries(const fs::path& folder, std::int64_t now) {
  std::error_code error;
  fs::directory_iterator position(folder, error);
  for (; !error && position != fs::directory_iterator(); position.increment(error)) {
    if (!is_temporary_name(position->path().filename().string())) continue;
    struct stat status {};
    const char* path = position->path().c_str();
    if (::lstat(path, &status) != 0) continue;
    if (now - status.st_mtim.tv_sec > kStaleSeconds) ::unlink(path);
  }
}

// False if the temporary file was removed before it could be renamed.
bool publish(TemporaryFile& temporary, const fs::path& target, const Bytes& file) {
  const int error = temporary.rename_to(target);
  if (error == 0) return true;
  // A network file system may rename and then report that the old name is gone; and who may not
  // replace another user's entry needs no other when it holds the same bytes.
  if (read_file(target).bytes == file) return true;
  if (error == ENOENT) return false;
  throw io_error(error, "rename a temporary file to", target);
}

}  // namespace

CubinCache::CubinCache(fs::path directory)
    : directory_(std::move(directory)), swept_(std::make_shared<std::atomic<bool>>(false)) {}

Lookup CubinCache::get(const Key& key) const {
  if (directory_.empty()) return Lookup{};
  return verify(read_file(directory_ / entry_name(key)), key);
}

std::optional<std::string> CubinCache::put(const Entry& entry) const {
  const Bytes file = encode(entry);
  if (file.size() > kMaxEntryBytes) {
    return "an entry of " + std::to_string(file.size()) + " bytes is too large, at most " +
           std::to_string(kMaxEntryBytes);
  }
  const fs::path target = directory_ / entry_name(entry.key);
  try {
    for (int attempt = 0; attempt < kPublishAttempts; ++attempt) {
      TemporaryFile temporary(directory_);
      if (!swept_->exchange(true)) remove_stale_temporaries(directory_, temporary.now());
      temporary.write_and_close(file);
      if (publish(temporary, target, file)) return std::nullopt;
    }
  } catch (const std::system_error& error) {
    return error.what();
  }
  return "cannot publish " + target.string() + ": its temporary file was removed " +
         std::to_string(kPublishAttempts) + " times";
}

std::optional<std::string> CubinCache::probe() const {
  try {
    TemporaryFile temporary(directory_);
  } catch (const std::system_error& error) {
    return error.what();
  }
  return std::nullopt;
}

std::vector<CubinCache::Listed> CubinCache::list() const {
  std::vector<Listed> listed;
  for (const std::string& name : names_in(directory_)) {
    const std::optional<Key> key = parse_entry_name(name);
    if (!key) continue;
    const fs::path path = directory_ / name;
    const Contents contents = read_file(path);
    if (contents.status == Lookup::Status::absent) continue;
    listed.push_back(Listed{path, contents.file_bytes, verify(contents, *key)});
  }
  return listed;
}

std::size_t CubinCache::clear() const {
  std::size_t removed = 0;
  std::optional<fs::filesystem_error> failure;
  for (const std::string& name : names_in(directory_)) {
    if (!parse_entry_name(name) && !is_temporary_name(name)) continue;
    const fs::path path = directory_ / name;
    if (::unlink(path.c_str()) == 0) {
      ++removed;
    } else if (!is_missing(errno) && !failure) {
      failure.emplace("cannot remove", path, std::error_code(errno, std::generic_category()));
    }
  }
  if (failure) throw *failure;
  return removed;
}

}  // namespace ropejit
