#ifndef ROPEJIT_CACHE_CUBIN_CACHE_H_
#define ROPEJIT_CACHE_CUBIN_CACHE_H_

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/entry.h"
#include "cache/key.h"

namespace ropejit {

/// A larger file is damaged without being read, and put() refuses to write one. Cubins take
/// kilobytes.
inline constexpr std::uint64_t kMaxEntryBytes = std::uint64_t{64} << 20;

/// A folder of entries, one file each, shared by any number of threads, processes and hosts without
/// a lock. Nothing here throws for what a file system can do: a read that fails is a miss, a write
/// that fails is reported as text. Thread-safe; holds no open files between calls. Copies share the
/// folder.
class CubinCache {
 public:
  /// Remembers the folder and touches nothing. The folder is created by the first put(), readable
  /// by all and writable by its owner, less what the umask takes. A relative path is resolved at
  /// each call; an empty one is a folder that never exists and cannot be created.
  explicit CubinCache(std::filesystem::path directory);

  const std::filesystem::path& directory() const noexcept { return directory_; }

  /// What a lookup found: an entry, or why there is none.
  struct Lookup {
    enum class Status {
      hit,
      absent,      ///< no such file
      damaged,     ///< a file that is not a valid entry for this key
      unreadable,  ///< the file system refused
    };
    Status status = Status::absent;
    std::optional<Entry> entry;  ///< when hit
    std::string reason;          ///< when damaged or unreadable
  };
  /// Reads and verifies one file: one open, one read, one digest. There is no `contains`:
  /// looking first and reading later would be a race.
  Lookup get(const Key& key) const;

  /// Publishes the entry: writes a temporary file in the same folder, checks every write and the
  /// close, and renames it over the entry's name. Readers see the old file or the whole new one.
  /// Returns nothing when it worked, or when another writer had published the same bytes; else the
  /// reason (the temporary file is removed again). The first put() of a CubinCache also removes
  /// temporary files over an hour old, which writers that crashed have left.
  std::optional<std::string> put(const Entry& entry) const;

  /// Whether put() could work now: tries to create the folder and a temporary file in it, and
  /// removes the file. Nothing, or the reason why not.
  std::optional<std::string> probe() const;

  /// One file in the folder that carries an entry's name.
  struct Listed {
    std::filesystem::path path;
    std::uint64_t file_bytes = 0;
    Lookup lookup;  ///< verified as get() does
  };
  /// All entries, ordered by name. Reads every file; one that vanishes meanwhile is left out. An
  /// absent folder has none; throws std::filesystem::filesystem_error if the folder exists but
  /// cannot be listed.
  std::vector<Listed> list() const;

  /// Removes all entries and all leftover temporary files, and nothing else. Returns how many files
  /// went. Safe while others read and write: a put() that loses its temporary file tries again.
  /// Throws as list() does, and, after removing all others, if a file cannot be removed.
  std::size_t clear() const;

 private:
  std::filesystem::path directory_;
  std::shared_ptr<std::atomic<bool>> swept_;  // whether stale temporary files were looked for
};

}  // namespace ropejit

#endif  // ROPEJIT_CACHE_CUBIN_CACHE_H_
