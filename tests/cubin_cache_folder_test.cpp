#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "cache/cubin_cache.h"
#include "tests/cache_folder.h"

// The folder as a whole: listing, clearing and sweeping it, and sharing it.
namespace ropejit::cache_test {
namespace {

TEST_CASE("list reports every entry in order, verified, and nothing else") {
  const Folder folder;
  const CubinCache cache(folder / "cache");
  CHECK(cache.list().empty());
  CHECK_FALSE(cache.put(make_entry(Key{3, 0}, 100)));
  CHECK_FALSE(cache.put(make_entry(Key{1, 0}, 10)));
  write_file(folder / "cache/00000000000000020000000000000000.cubin", std::string("short"));
  write_file(folder / "cache" / kTemporaryName, std::string("x"));
  write_file(folder / "cache/README", std::string("x"));
  fs::create_symlink("nowhere", folder / "cache" / kName);
  const std::vector<CubinCache::Listed> listed = cache.list();
  REQUIRE(listed.size() == 3);
  CHECK(listed[0].path == folder / "cache/00000000000000010000000000000000.cubin");
  CHECK(listed[0].lookup.status == Status::hit);
  CHECK(listed[0].lookup.entry->cubin.size() == 10);
  CHECK(listed[0].file_bytes == fs::file_size(listed[0].path));
  CHECK(listed[1].lookup.status == Status::damaged);
  CHECK(listed[1].file_bytes == 5);
  CHECK(listed[2].lookup.status == Status::hit);
  CHECK(listed[2].lookup.entry->key == Key{3, 0});
}

TEST_CASE("clear removes entries and temporary files and nothing else") {
  const Folder folder;
  const CubinCache cache(folder.path());
  const std::set<std::string> others = {
      "0123456789ABCDEFfedcba9876543210.cubin",      // upper case
      "123456789abcdeffedcba9876543210.cubin",       // 31 digits
      "00123456789abcdeffedcba9876543210.cubin",     // 33 digits
      "0123456789abcdeffedcba9876543210.cubin.bak",  // something after it
      "0123456789abcdeffedcba9876543210",            // no suffix
      ".cubin",
      ".ropejit-.tmp",
      ".ropejit-000012345678abcdef0011223344556.tmp",
      ".ropejit-000012345678abcdef00112233445566.tmp2",
      ".other-000012345678abcdef00112233445566.tmp",
      "ropejit-000012345678abcdef00112233445566.tmp",
      ".ropejit-.tm",
      "tuned.json",
  };
  for (const std::string& name : others) write_file(folder / name, std::string("mine"));
  write_file(folder / kTemporaryName, std::string("left by a crash"));
  write_file(folder / "00000000000000020000000000000000.cubin", std::string("damaged"));
  CHECK_FALSE(cache.put(make_entry()));
  CHECK(cache.clear() == 3);
  CHECK(names_in(folder.path()) == others);
  CHECK(cache.clear() == 0);
  CHECK(CubinCache(folder / "absent").clear() == 0);
}

TEST_CASE("clear removes a link and not its target, and all it can before it throws") {
  const Folder folder;
  const CubinCache cache(folder / "cache");
  CHECK_FALSE(cache.put(make_entry(Key{2, 0})));
  fs::create_directory(folder / "cache/00000000000000000000000000000000.cubin");
  write_file(folder / "elsewhere", std::string("mine"));
  fs::create_symlink("../elsewhere", folder / "cache" / kName);
  CHECK_THROWS_AS(cache.clear(), fs::filesystem_error);
  CHECK(names_in(folder / "cache") ==
        std::set<std::string>{"00000000000000000000000000000000.cubin"});
  CHECK(fs::exists(folder / "elsewhere"));
}

TEST_CASE("the first put of a cache sweeps temporary files that are over an hour old") {
  const Folder folder;
  const std::string young = ".ropejit-000012345678abcdef00112233445577.tmp";
  const std::string other = ".ropejit-not-ours.tmp";
  const auto make_old = [&](const std::string& name) {
    write_file(folder / name, std::string("x"));
    fs::last_write_time(folder / name, fs::file_time_type::clock::now() - std::chrono::hours(2));
  };
  make_old(kTemporaryName);
  make_old(other);
  write_file(folder / young, std::string("x"));
  const CubinCache cache(folder.path());
  CHECK_FALSE(cache.put(make_entry()));
  CHECK(names_in(folder.path()) == std::set<std::string>{kName, other, young});
  make_old(kTemporaryName);
  CHECK_FALSE(cache.put(make_entry()));
  CHECK(fs::exists(folder / kTemporaryName));
  CHECK_FALSE(CubinCache(folder.path()).put(make_entry()));
  CHECK_FALSE(fs::exists(folder / kTemporaryName));
}

// Puts entries of different sizes under one key and reads it between; true if every put worked and
// every entry seen was whole.
bool put_and_get(const CubinCache& cache, int rounds, int fill) {
  for (int round = 0; round < rounds; ++round) {
    const auto size = static_cast<std::size_t>(1 + (round * 977 + fill * 131) % 20000);
    if (cache.put(make_entry(kKey, size, fill))) return false;
    const CubinCache::Lookup lookup = cache.get(kKey);
    if (lookup.status != Status::hit || !is_whole(*lookup.entry)) return false;
  }
  return true;
}

TEST_CASE("eight threads that put and get one key see whole entries only") {
  const Folder folder;
  const CubinCache cache(folder / "cache");
  std::atomic<int> succeeded = 0;
  std::vector<std::thread> threads;
  for (int i = 1; i <= 8; ++i) {
    threads.emplace_back([&, i] { succeeded += put_and_get(cache, 100, i) ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(succeeded == 8);
  CHECK(names_in(folder / "cache") == std::set<std::string>{kName});
}

TEST_CASE("two processes that put and get one key see whole entries only") {
  const Folder folder;
  const fs::path path = folder / "cache";
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(put_and_get(CubinCache(path), 300, 1) ? 0 : 1);
  CHECK(put_and_get(CubinCache(path), 300, 2));
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(names_in(path) == std::set<std::string>{kName});
}

TEST_CASE("a put whose temporary file is removed under it tries again") {
  const Folder folder;
  const CubinCache cache(folder.path());
  std::atomic<bool> removed = false;
  // Takes one file away before its writer renames it.
  std::thread remover([&] {
    while (!removed) {
      for (const std::string& name : names_in(folder.path())) {
        if (name.ends_with(".tmp") && !removed) {
          removed = ::unlink((folder / name).c_str()) == 0;
        }
      }
    }
  });
  int failed = 0;
  while (!removed) failed += cache.put(make_entry(kKey, 1 << 20)) ? 1 : 0;
  remover.join();
  CHECK(failed == 0);
  CHECK(cache.get(kKey).status == Status::hit);
}

TEST_CASE("readers and writers survive a folder that is cleared and listed all the time") {
  const Folder folder;
  const CubinCache cache(folder.path());
  std::atomic<int> writing = 4;
  std::atomic<int> bad = 0;
  std::vector<std::thread> threads;
  for (int i = 1; i <= 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 100; ++round) {
        cache.put(make_entry(kKey, 3000, i));
        const CubinCache::Lookup lookup = cache.get(kKey);
        const bool hit = lookup.status == Status::hit && is_whole(*lookup.entry);
        if (!hit && lookup.status != Status::absent) ++bad;
      }
      --writing;
    });
  }
  while (writing > 0) {
    cache.clear();
    for (const CubinCache::Listed& listed : cache.list()) {
      if (listed.lookup.status != Status::hit) ++bad;
    }
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(bad == 0);
  CHECK_FALSE(cache.put(make_entry()));
  CHECK(cache.get(kKey).status == Status::hit);
  CHECK(names_in(folder.path()) == std::set<std::string>{kName});
}

}  // namespace
}  // namespace ropejit::cache_test
