// Where libnvrtc may be: nvrtc_candidates() of compiler.h. Knows folders and file names, not NVRTC.

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "src/compiler.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

// Newest first. The unversioned name comes last: which version it is shows only once it is open.
constexpr const char* kFileNames[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
constexpr const char* kToolkitFolders[] = {"lib64", "lib", "targets/x86_64-linux/lib",
                                           "targets/sbsa-linux/lib"};
constexpr const char* kWheelFolders[] = {"nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"};

std::optional<fs::path> folder_from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return fs::path(value);
}

/// The numbers in a folder's name: {3, 11} of `python3.11`, so that 3.11 is newer than 3.9.
std::vector<int> version_in(const fs::path& folder) {
  std::vector<int> numbers;
  bool in_number = false;
  for (const char character : folder.filename().string()) {
    if (std::isdigit(static_cast<unsigned char>(character)) == 0) {
      in_number = false;
      continue;
    }
    if (!in_number) numbers.push_back(0);
    in_number = true;
    // No version has this many digits; a longer run must not overflow.
    if (numbers.back() < 100'000) numbers.back() = numbers.back() * 10 + (character - '0');
  }
  return numbers;
}

/// The folders in `parent` whose names begin with `prefix`, the newest version first. A parent that
/// is absent or unreadable has none.
std::vector<fs::path> folders_newest_first(const fs::path& parent, std::string_view prefix) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::directory_iterator entry(parent, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().starts_with(prefix)) found.push_back(entry->path());
  }
  std::sort(found.begin(), found.end(), [](const fs::path& left, const fs::path& right) {
    const std::vector<int> left_version = version_in(left);
    const std::vector<int> right_version = version_in(right);
    return left_version != right_version ? left_version > right_version : left < right;
  });
  return found;
}

std::vector<fs::path> toolkit_roots() {
  std::vector<fs::path> roots;
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX"}) {
    if (const auto root = folder_from_environment(variable)) roots.push_back(*root);
  }
  roots.emplace_back("/usr/local/cuda");
  const std::vector<fs::path> versions = folders_newest_first("/usr/local", "cuda-");
  roots.insert(roots.end(), versions.begin(), versions.end());
  return roots;
}

std::vector<fs::path> site_packages() {
  std::vector<fs::path> prefixes;
  for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    if (const auto prefix = folder_from_environment(variable)) prefixes.push_back(*prefix);
  }
  if (const auto home = folder_from_environment("HOME")) prefixes.push_back(*home / ".local");
  prefixes.emplace_back("/usr");
  prefixes.emplace_back("/usr/local");

  std::vector<fs::path> folders;
  for (const fs::path& prefix : prefixes) {
    for (const fs::path& python : folders_newest_first(prefix / "lib", "python3")) {
      folders.push_back(python / "site-packages");
      folders.push_back(python / "dist-packages");
    }
  }
  return folders;
}

/// Appends the libraries that exist in `folder`. One that an earlier candidate reaches by another
/// path (lib64 is often a link to lib) is not listed again.
void append_existing(const fs::path& folder, const std::string& origin,
                     std::vector<LibraryCandidate>& candidates, std::vector<fs::path>& seen) {
  for (const char* name : kFileNames) {
    std::error_code error;
    const fs::path real = fs::canonical(folder / name, error);
    if (error || std::find(seen.begin(), seen.end(), real) != seen.end()) continue;
    seen.push_back(real);
    candidates.push_back({(folder / name).string(), origin});
  }
}

}  // namespace

std::vector<LibraryCandidate> nvrtc_candidates(const std::string& library) {
  if (!library.empty()) return {{library, "given"}};
  std::vector<LibraryCandidate> candidates;
  for (const char* name : kFileNames) candidates.push_back({name, "loader"});

  std::vector<fs::path> seen;
  for (const fs::path& root : toolkit_roots()) {
    for (const char* folder : kToolkitFolders) {
      append_existing(root / folder, "toolkit", candidates, seen);
    }
  }
  for (const fs::path& site : site_packages()) {
    for (const char* folder : kWheelFolders) {
      append_existing(site / folder, "Python wheel", candidates, seen);
    }
  }
  return candidates;
}

}  // namespace ropejit
