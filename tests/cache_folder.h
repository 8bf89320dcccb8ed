#ifndef ROPEJIT_TESTS_CACHE_FOLDER_H_
#define ROPEJIT_TESTS_CACHE_FOLDER_H_

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>

#include "cache/cubin_cache.h"

// What the tests of the cubin cache share.
namespace ropejit::cache_test {

namespace fs = std::filesystem;
using Status = CubinCache::Lookup::Status;

inline constexpr Key kKey{0x0123456789abcdef, 0xfedcba9876543210};
inline const std::string kName = "0123456789abcdeffedcba9876543210.cubin";
inline const std::string kTemporaryName = ".ropejit-000012345678abcdef00112233445566.tmp";

// A folder of its own for one test.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "ropejit-cache-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  fs::path operator/(const fs::path& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

inline Entry make_entry(Key key = kKey, std::size_t cubin_bytes = 16, int fill = 0x5a) {
  return Entry{.key = key,
               .kernel = "d128 sequential",
               .arch = "sm_90",
               .compiler = "NVRTC 13.0",
               .cubin = Bytes(cubin_bytes, static_cast<std::byte>(fill))};
}

inline std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& item : fs::directory_iterator(folder)) names.insert(item.path().filename());
  return names;
}

inline void write_file(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline void write_file(const fs::path& path, const Bytes& bytes) {
  write_file(path, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

// Whether every byte of the cubin is the same one: true for each whole make_entry().
inline bool is_whole(const Entry& entry) {
  return !entry.cubin.empty() && entry.cubin == Bytes(entry.cubin.size(), entry.cubin.front()) &&
         entry.key == kKey;
}

}  // namespace ropejit::cache_test

#endif  // ROPEJIT_TESTS_CACHE_FOLDER_H_
