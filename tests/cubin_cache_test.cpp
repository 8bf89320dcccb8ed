#include "cache/cubin_cache.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "tests/cache_folder.h"

namespace ropejit::cache_test {
namespace {

// Runs `body` in a child process; true if it returned true there.
bool holds_in_child(const std::function<bool()>& body) {
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    bool held = false;
    try {
      held = body();
    } catch (...) {
    }
    ::_exit(held ? 0 : 1);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid failed");
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Whether a put fails with a reason that holds `text`.
bool refuses(const CubinCache& cache, const Entry& entry, const std::string& text) {
  const std::optional<std::string> reason = cache.put(entry);
  return reason && reason->find(text) != std::string::npos;
}

TEST_CASE("an entry that was put is found again, by any cache of the folder") {
  const Folder folder;
  const CubinCache cache(folder / "a/b/c");
  CHECK(cache.get(kKey).status == Status::absent);
  CHECK_FALSE(fs::exists(folder / "a"));
  CHECK_FALSE(cache.put(make_entry()));
  for (const CubinCache& reader : {cache, CubinCache(folder / "a/b/c/")}) {
    const CubinCache::Lookup lookup = reader.get(kKey);
    REQUIRE(lookup.status == Status::hit);
    CHECK(lookup.entry->key == kKey);
    CHECK(lookup.entry->kernel == "d128 sequential");
    CHECK(lookup.entry->arch == "sm_90");
    CHECK(lookup.entry->compiler == "NVRTC 13.0");
    CHECK(lookup.entry->cubin == make_entry().cubin);
    CHECK(lookup.reason.empty());
  }
  CHECK(names_in(folder / "a/b/c") == std::set<std::string>{kName});
}

TEST_CASE("what a cache creates is writable by its owner alone whatever the umask") {
  const Folder folder;
  CHECK(holds_in_child([&] {
    ::umask(0);
    return !CubinCache(folder / "new/cache").put(make_entry());
  }));
  CHECK(fs::status(folder / "new").permissions() == fs::perms(0755));
  CHECK(fs::status(folder / "new/cache").permissions() == fs::perms(0755));
  CHECK(fs::status(folder / "new/cache" / kName).permissions() == fs::perms(0644));
}

TEST_CASE("a put replaces the entry of the same key") {
  const Folder folder;
  const CubinCache cache(folder.path());
  CHECK_FALSE(cache.put(make_entry(kKey, 16, 1)));
  CHECK_FALSE(cache.put(make_entry(kKey, 9, 2)));
  CHECK_FALSE(cache.put(make_entry(kKey, 9, 2)));
  REQUIRE(cache.get(kKey).status == Status::hit);
  CHECK(cache.get(kKey).entry->cubin == Bytes(9, std::byte{2}));
}

TEST_CASE("a file with any byte changed is damaged and a put heals it") {
  const Folder folder;
  const CubinCache cache(folder.path());
  const Bytes file = encode(make_entry());
  for (std::size_t i = 0; i < file.size(); ++i) {
    CAPTURE(i);
    Bytes changed = file;
    changed[i] ^= std::byte{0x10};
    write_file(folder / kName, changed);
    const CubinCache::Lookup lookup = cache.get(kKey);
    CHECK(lookup.status == Status::damaged);
    CHECK_FALSE(lookup.entry);
    CHECK_FALSE(lookup.reason.empty());
    CHECK_FALSE(cache.put(make_entry()));
    CHECK(cache.get(kKey).status == Status::hit);
  }
}

TEST_CASE("truncated, extended, empty and foreign files are damaged") {
  const Folder folder;
  const CubinCache cache(folder.path());
  Bytes file = encode(make_entry());
  for (std::size_t size = 0; size < file.size(); ++size) {
    write_file(folder / kName, Bytes(file.begin(), file.begin() + static_cast<long>(size)));
    CHECK(cache.get(kKey).status == Status::damaged);
  }
  file.push_back(std::byte{0});
  write_file(folder / kName, file);
  CHECK(cache.get(kKey).status == Status::damaged);
  write_file(folder / kName, encode(make_entry(Key{1, 2})));
  CHECK(cache.get(kKey).status == Status::damaged);
  CHECK(cache.get(kKey).reason.starts_with("other key: "));
}

TEST_CASE("a file beyond the limit is damaged without being read, and is never written") {
  const Folder folder;
  const CubinCache cache(folder.path());
  write_file(folder / kName, std::string());
  fs::resize_file(folder / kName, std::uintmax_t{1} << 40);
  CHECK(cache.get(kKey).status == Status::damaged);
  CHECK(cache.get(kKey).reason == "too large: 1099511627776 bytes, at most 67108864");
  CHECK(fs::remove(folder / kName));
  CHECK(refuses(cache, make_entry(kKey, kMaxEntryBytes), "is too large, at most 67108864"));
  CHECK(names_in(folder.path()).empty());
}

TEST_CASE("a FIFO, a folder or a device under an entry's name is damaged and does not hang") {
  const Folder folder;
  const CubinCache cache(folder.path());
  REQUIRE(::mkfifo((folder / kName).c_str(), 0600) == 0);
  CHECK(cache.get(kKey).status == Status::damaged);
  CHECK(cache.get(kKey).reason == "not a regular file");
  CHECK_FALSE(cache.put(make_entry()));
  CHECK(cache.get(kKey).status == Status::hit);
  fs::remove(folder / kName);
  fs::create_symlink("/dev/zero", folder / kName);
  CHECK(cache.get(kKey).status == Status::damaged);
  fs::remove(folder / kName);
  fs::create_directory(folder / kName);
  CHECK(cache.get(kKey).status == Status::damaged);
  CHECK(refuses(cache, make_entry(), "Is a directory"));
  CHECK(names_in(folder.path()) == std::set<std::string>{kName});
}

TEST_CASE("symbolic links are followed by readers and replaced by writers") {
  const Folder folder;
  write_file(folder / "elsewhere", encode(make_entry()));
  fs::create_directory(folder / "real");
  fs::create_directory_symlink("real", folder / "cache");
  const CubinCache cache(folder / "cache");
  fs::create_symlink("../elsewhere", folder / "real" / kName);
  CHECK(cache.get(kKey).status == Status::hit);
  CHECK_FALSE(cache.put(make_entry(kKey, 5, 9)));
  CHECK_FALSE(fs::is_symlink(folder / "real" / kName));
  CHECK(fs::file_size(folder / "elsewhere") == encode(make_entry()).size());
  fs::remove(folder / "real" / kName);
  fs::create_symlink("nowhere", folder / "real" / kName);
  CHECK(cache.get(kKey).status == Status::absent);
  fs::remove(folder / "real" / kName);
  fs::create_symlink(kName, folder / "real" / kName);
  CHECK(cache.get(kKey).status == Status::unreadable);
  CHECK(cache.get(kKey).reason.find("Too many levels of symbolic links") != std::string::npos);
}

TEST_CASE("a folder that cannot exist is a miss to readers and a reason to writers") {
  const Folder folder;
  write_file(folder / "file", std::string("text"));
  for (const fs::path& path : {folder / "file", folder / "file/below"}) {
    const CubinCache cache(path);
    CHECK(cache.get(kKey).status == Status::absent);
    CHECK(refuses(cache, make_entry(), "Not a directory"));
    REQUIRE(cache.probe());
    CHECK(cache.probe()->find("Not a directory") != std::string::npos);
  }
  CHECK(CubinCache(folder / "file/below").list().empty());
  CHECK_THROWS_AS(CubinCache(folder / "file").list(), fs::filesystem_error);
  CHECK_THROWS_AS(CubinCache(folder / "file").clear(), fs::filesystem_error);
  CHECK(refuses(CubinCache("/proc/ropejit"), make_entry(), "cannot create folder /proc/ropejit"));
  CHECK(names_in(folder.path()) == std::set<std::string>{"file"});
}

TEST_CASE("an empty folder name is a miss and never the working folder") {
  const Folder folder;
  CHECK(holds_in_child([&] {
    fs::current_path(folder.path());
    write_file(kName, encode(make_entry()));
    const CubinCache cache("");
    return cache.get(kKey).status == Status::absent && cache.put(make_entry()) && cache.probe() &&
           cache.list().empty() && cache.clear() == 0;
  }));
  CHECK(names_in(folder.path()) == std::set<std::string>{kName});
}

TEST_CASE("probe creates the folder and leaves nothing in it") {
  const Folder folder;
  CHECK_FALSE(CubinCache(folder / "x/y").probe());
  CHECK(names_in(folder / "x/y").empty());
}

TEST_CASE("a put that runs out of space leaves the old entry and no temporary file") {
  const Folder folder;
  const CubinCache cache(folder.path());
  CHECK_FALSE(cache.put(make_entry(Key{1, 2}, 10)));
  CHECK(holds_in_child([&] {
    // Writing stops in the middle of the file, as on a full disk, and with an error number.
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
    return refuses(cache, make_entry(kKey, 5000), "cannot write") &&
           refuses(cache, make_entry(Key{1, 2}, 5000), "File too large");
  }));
  CHECK(names_in(folder.path()) == std::set<std::string>{"00000000000000010000000000000002.cubin"});
  REQUIRE(cache.get(Key{1, 2}).status == Status::hit);
  CHECK(cache.get(Key{1, 2}).entry->cubin.size() == 10);
}

TEST_CASE("without free file descriptors a get is unreadable and a put a reason") {
  const Folder folder;
  const CubinCache cache(folder.path());
  CHECK_FALSE(cache.put(make_entry()));
  CHECK(holds_in_child([&] {
    const rlimit limit{0, 0};
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
    return cache.get(kKey).status == Status::unreadable &&
           cache.get(kKey).reason.find("Too many open files") != std::string::npos &&
           refuses(cache, make_entry(), "Too many open files");
  }));
  CHECK(cache.get(kKey).status == Status::hit);
}

// The tests below give up root's rights in a child; for another user they have nothing to give up.
const bool kNotRoot = ::geteuid() != 0;

bool become_nobody() { return ::setgid(65534) == 0 && ::setuid(65534) == 0; }

TEST_CASE("a read-only folder serves readers and gives writers a reason" *
          doctest::skip(kNotRoot)) {
  const Folder folder;
  const CubinCache cache(folder.path());
  CHECK_FALSE(cache.put(make_entry()));
  fs::permissions(folder.path(), fs::perms(0755));
  CHECK(holds_in_child([&] {
    return become_nobody() && cache.get(kKey).status == Status::hit &&
           refuses(cache, make_entry(), "Permission denied") && cache.probe().has_value();
  }));
  fs::permissions(folder / kName, fs::perms(0600));
  CHECK(holds_in_child([&] {
    return become_nobody() && cache.get(kKey).status == Status::unreadable &&
           cache.list().at(0).lookup.status == Status::unreadable;
  }));
  CHECK(names_in(folder.path()) == std::set<std::string>{kName});
}

TEST_CASE("an equal entry that may not be replaced is as good as published" *
          doctest::skip(kNotRoot)) {
  const Folder folder;
  const CubinCache cache(folder.path());
  CHECK_FALSE(cache.put(make_entry()));
  // In a sticky folder only the owner of a file may rename over it or remove it.
  fs::permissions(folder.path(), fs::perms(01777));
  CHECK(holds_in_child([&] {
    if (!become_nobody() || cache.put(make_entry())) return false;
    if (!refuses(cache, make_entry(kKey, 16, 1), "Operation not permitted")) return false;
    try {
      cache.clear();
    } catch (const fs::filesystem_error&) {
      return true;
    }
    return false;
  }));
  CHECK(names_in(folder.path()) == std::set<std::string>{kName});
}

}  // namespace
}  // namespace ropejit::cache_test
