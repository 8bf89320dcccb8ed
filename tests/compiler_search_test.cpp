// nvrtc_candidates() of compiler.h.

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "src/compiler.h"
#include "tests/temporary_folder.h"

namespace ropejit {
namespace {

/// A machine of a test's own: nothing of the real user's or environment's tools is found.
struct FakeMachine {
  std::string file(const std::string& name) const { return root.write(name, "not a library"); }
  std::string folder(const std::string& name) const { return (root / name).string(); }

  TemporaryFolder root;
  ScopedVariable cuda_home{"CUDA_HOME", std::nullopt};
  ScopedVariable cuda_path{"CUDA_PATH", std::nullopt};
  ScopedVariable conda{"CONDA_PREFIX", std::nullopt};
  ScopedVariable venv{"VIRTUAL_ENV", std::nullopt};
  ScopedVariable home{"HOME", folder("home")};
};

/// The candidates below the machine's root, as `origin path`, in order.
std::vector<std::string> found_on(const FakeMachine& machine) {
  std::vector<std::string> found;
  for (const LibraryCandidate& candidate : nvrtc_candidates("")) {
    if (!candidate.path.starts_with(machine.folder(""))) continue;
    found.push_back(candidate.origin + ' ' + candidate.path);
  }
  return found;
}

}  // namespace

TEST_CASE("a library that is named is the only candidate, whether it exists or not") {
  const std::vector<LibraryCandidate> candidates = nvrtc_candidates("/no/such/libnvrtc.so");
  REQUIRE(candidates.size() == 1);
  CHECK(candidates[0].path == "/no/such/libnvrtc.so");
  CHECK(candidates[0].origin == "given");
}

TEST_CASE("the loader's own search comes first, the newest name first") {
  const FakeMachine machine;
  const std::vector<LibraryCandidate> candidates = nvrtc_candidates("");
  REQUIRE(candidates.size() >= 3);
  const char* names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(candidates[i].path == names[i]);
    CHECK(candidates[i].origin == "loader");
  }
}

TEST_CASE("toolkits come before wheels, and both in the documented order") {
  const FakeMachine machine;
  const ScopedVariable cuda_home("CUDA_HOME", machine.folder("cuda_home"));
  const ScopedVariable cuda_path("CUDA_PATH", machine.folder("cuda_path"));
  const ScopedVariable venv("VIRTUAL_ENV", machine.folder("venv"));
  const ScopedVariable conda("CONDA_PREFIX", machine.folder("conda"));
  const std::string user =
      machine.file("home/.local/lib/python3.10/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
  const std::string conda_wheel =
      machine.file("conda/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13");
  const std::string old_wheel =
      machine.file("venv/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
  const std::string new_wheel =
      machine.file("venv/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13");
  const std::string conda_toolkit = machine.file("conda/lib/libnvrtc.so.12");
  const std::string path_toolkit =
      machine.file("cuda_path/targets/x86_64-linux/lib/libnvrtc.so.13");
  const std::string sbsa_toolkit = machine.file("cuda_path/targets/sbsa-linux/lib/libnvrtc.so.13");
  const std::string home_toolkit_unversioned = machine.file("cuda_home/lib64/libnvrtc.so");
  const std::string home_toolkit_12 = machine.file("cuda_home/lib64/libnvrtc.so.12");
  const std::string home_toolkit_13 = machine.file("cuda_home/lib64/libnvrtc.so.13");

  const std::vector<std::string> expected = {"toolkit " + home_toolkit_13,
                                             "toolkit " + home_toolkit_12,
                                             "toolkit " + home_toolkit_unversioned,
                                             "toolkit " + path_toolkit,
                                             "toolkit " + sbsa_toolkit,
                                             "toolkit " + conda_toolkit,
                                             "Python wheel " + new_wheel,
                                             "Python wheel " + old_wheel,
                                             "Python wheel " + conda_wheel,
                                             "Python wheel " + user};
  CHECK(found_on(machine) == expected);
}

TEST_CASE("of several Pythons the newest comes first, by number and not by text") {
  const FakeMachine machine;
  const ScopedVariable venv("VIRTUAL_ENV", machine.folder("venv"));
  const std::string tail = "nvidia/cu13/lib/libnvrtc.so.13";
  const std::string python9 = machine.file("venv/lib/python3.9/site-packages/" + tail);
  const std::string python12 = machine.file("venv/lib/python3.12/site-packages/" + tail);
  const std::string debian = machine.file("venv/lib/python3/dist-packages/" + tail);
  machine.file("venv/lib/perl5/site-packages/" + tail);
  CHECK(found_on(machine) == std::vector<std::string>{"Python wheel " + python12,
                                                      "Python wheel " + python9,
                                                      "Python wheel " + debian});
}

TEST_CASE("a file that is reached by two paths is listed once") {
  const FakeMachine machine;
  const ScopedVariable cuda_home("CUDA_HOME", machine.folder("cuda"));
  const ScopedVariable cuda_path("CUDA_PATH", machine.folder("cuda/"));
  machine.file("cuda/lib/libnvrtc.so.13");
  std::filesystem::create_directory_symlink("lib", machine.root / "cuda/lib64");
  std::filesystem::create_symlink("libnvrtc.so.13", machine.root / "cuda/lib/libnvrtc.so");
  CHECK(found_on(machine) ==
        std::vector<std::string>{"toolkit " + machine.folder("cuda/lib64/libnvrtc.so.13")});
}

TEST_CASE("an empty variable is not the current folder") {
  const FakeMachine machine;
  machine.file("lib64/libnvrtc.so.13");
  machine.file("lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13");
  const ScopedVariable cuda_home("CUDA_HOME", "");
  const ScopedVariable venv("VIRTUAL_ENV", "");
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(machine.folder(""));
  const std::vector<LibraryCandidate> candidates = nvrtc_candidates("");
  std::filesystem::current_path(before);
  CHECK(std::all_of(candidates.begin() + 3, candidates.end(),
                    [](const auto& candidate) { return candidate.path.front() == '/'; }));
}

}  // namespace ropejit
