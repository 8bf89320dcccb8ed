#include "src/compiler.h"

#include <doctest/doctest.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ropejit/error.h"
#include "tests/refusal.h"
#include "tests/temporary_folder.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSource = R"(
extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= kFactor; }
)";
const std::vector<std::string> usual_options = {"--std=c++17", "--minimal", "-DkFactor=2.0f"};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool is_cubin(const std::vector<std::byte>& bytes) {
  const char magic[] = {0x7f, 'E', 'L', 'F'};
  return bytes.size() > 64 && std::memcmp(bytes.data(), magic, sizeof(magic)) == 0;
}

bool holds_text(const std::vector<std::byte>& bytes, const std::string& text) {
  const auto same = [](std::byte left, char right) {
    return left == static_cast<std::byte>(right);
  };
  return std::search(bytes.begin(), bytes.end(), text.begin(), text.end(), same) != bytes.end();
}

/// The NVRTC that the documented search finds; nothing on a machine that has none. One for all
/// tests: opening it takes tens of milliseconds.
const std::optional<Compiler>& nvrtc() {
  static std::optional<Compiler> compiler;
  static const bool opened = [] { return refusal([] { compiler.emplace(""); }) == "accepted"; }();
  (void)opened;
  return compiler;
}

bool no_nvrtc() { return !nvrtc().has_value(); }

/// The paths of all files that are mapped into this process as shared libraries.
std::vector<std::string> mapped_libraries() {
  std::vector<std::string> paths;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        static_cast<std::vector<std::string>*>(out)->emplace_back(info->dlpi_name);
        return 0;
      },
      &paths);
  return paths;
}

}  // namespace

TEST_CASE("NVRTC says which version and file it is" * doctest::skip(no_nvrtc())) {
  CHECK(nvrtc()->version().starts_with("NVRTC 1"));
  CHECK(contains(nvrtc()->library().path, "libnvrtc.so"));
  CHECK(fs::exists(nvrtc()->library().path));
  const std::vector<std::string> mapped = mapped_libraries();
  CHECK(std::count(mapped.begin(), mapped.end(), nvrtc()->library().path) == 1);
}

TEST_CASE("the architectures ascend from Turing" * doctest::skip(no_nvrtc())) {
  const std::vector<int>& archs = nvrtc()->architectures();
  REQUIRE(!archs.empty());
  CHECK(archs.front() == 75);
  CHECK(std::is_sorted(archs.begin(), archs.end()));
  CHECK(std::count(archs.begin(), archs.end(), 90) == 1);
}

TEST_CASE("a kernel compiles to a cubin, the same bytes every time" * doctest::skip(no_nvrtc())) {
  const std::vector<std::byte> first =
      nvrtc()->compile(kSource, "twice.cu", "sm_90", usual_options);
  CHECK(is_cubin(first));
  CHECK(holds_text(first, "twice"));
  CHECK(nvrtc()->compile(kSource, "twice.cu", "sm_90", usual_options) == first);
  CHECK(nvrtc()->compile(kSource, "twice.cu", "sm_80", usual_options) != first);
}

TEST_CASE("the options reach the compiler" * doctest::skip(no_nvrtc())) {
  const std::vector<std::string> other = {"--std=c++17", "--minimal", "-DkFactor=3.0f"};
  CHECK(nvrtc()->compile(kSource, "twice.cu", "sm_90", usual_options) !=
        nvrtc()->compile(kSource, "twice.cu", "sm_90", other));
}

TEST_CASE("every architecture that check_arch accepts compiles" * doctest::skip(no_nvrtc())) {
  for (const int arch : nvrtc()->architectures()) {
    const std::string name = "sm_" + std::to_string(arch);
    for (const std::string& variant : {name, name + 'a', name + 'f'}) {
      if (refusal([&] { nvrtc()->check_arch(variant); }) != "accepted") continue;
      CAPTURE(variant);
      CHECK(is_cubin(nvrtc()->compile(kSource, "twice.cu", variant, usual_options)));
    }
  }
}

TEST_CASE("four threads compile at once and get what one thread gets" * doctest::skip(no_nvrtc())) {
  const std::vector<std::string> archs = {"sm_75", "sm_80", "sm_89", "sm_90"};
  std::vector<std::vector<std::byte>> cubins(archs.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < archs.size(); ++i) {
    threads.emplace_back(
        [&, i] { cubins[i] = nvrtc()->compile(kSource, "twice.cu", archs[i], usual_options); });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < archs.size(); ++i) {
    CAPTURE(archs[i]);
    CHECK(cubins[i] == nvrtc()->compile(kSource, "twice.cu", archs[i], usual_options));
  }
}

TEST_CASE("a compile error carries the log, the options and the command that reproduces it" *
          doctest::skip(no_nvrtc())) {
  const std::vector<std::string> options = {"--std=c++17", "--minimal", "-DTEXT=it's two"};
  const std::string error = refusal([&] {
    nvrtc()->compile("__global__ void f() { undeclared(); }", "rope.cu", "sm_90", options);
  });
  CAPTURE(error);
  CHECK(error.starts_with("compile_failed: " + nvrtc()->version()));
  CHECK(contains(error, "cannot compile rope.cu: NVRTC_ERROR_COMPILATION"));
  CHECK(contains(error, "rope.cu(1): error: identifier \"undeclared\" is undefined"));
  CHECK(contains(error, "options: --std=c++17 --minimal -DTEXT=it's two --gpu-architecture=sm_90"));
  CHECK(contains(error, "`ropejit render`"));
  CHECK(contains(error, "\n  nvcc -cubin -arch=sm_90 --std=c++17 '-DTEXT=it'\\''s two' rope.cu"));
}

TEST_CASE("an option that NVRTC does not know is named" * doctest::skip(no_nvrtc())) {
  const std::vector<std::string> options = {"--no-such-option"};
  const std::string error =
      refusal([&] { nvrtc()->compile(kSource, "twice.cu", "sm_90", options); });
  CHECK(error.starts_with("compile_failed: "));
  CHECK(contains(error, "NVRTC_ERROR_INVALID_OPTION"));
  CHECK(contains(error, "--no-such-option"));
}

TEST_CASE("an architecture that cannot be built for is refused with those that can" *
          doctest::skip(no_nvrtc())) {
  for (const char* arch :
       {"sm_70", "sm_91", "sm_90x", "sm_90f", "sm_89a", "sm_", "sm_ 90", "sm_+90", "sm_090",
        "sm_90aa", "compute_90", "90", "", "SM_90", "sm_90 "}) {
    CAPTURE(arch);
    const std::string error = refusal([&] { nvrtc()->check_arch(arch); });
    CHECK(error.starts_with("invalid_argument: arch: '" + std::string(arch) + "'"));
    CHECK(contains(error, "sm_75, sm_80"));
    CHECK(contains(error, ", sm_90, sm_90a"));
    CHECK(refusal([&] { nvrtc()->compile(kSource, "twice.cu", arch, usual_options); }) == error);
  }
}

TEST_CASE("architectures are accepted with the suffixes that exist" * doctest::skip(no_nvrtc())) {
  for (const char* arch : {"sm_75", "sm_89", "sm_90", "sm_90a"}) {
    CAPTURE(arch);
    CHECK(refusal([&] { nvrtc()->check_arch(arch); }) == "accepted");
  }
}

TEST_CASE("a library that does not exist is listed with the loader's reason") {
  const std::string error = refusal([] { const Compiler compiler("/no/such/libnvrtc.so.13"); });
  CHECK(error.starts_with("compile_failed: cannot open NVRTC"));
  CHECK(contains(error, "\n  /no/such/libnvrtc.so.13: cannot open shared object file"));
  CHECK(contains(error, "(given)"));
}

TEST_CASE("a file that is no library is refused with the loader's reason") {
  const TemporaryFolder folder;
  const std::string path = folder.write("libnvrtc.so.13", "this is text, not a library");
  const std::string error = refusal([&] { const Compiler compiler(path); });
  CHECK(error.starts_with("compile_failed: "));
  CHECK(contains(error, "\n  " + path + ": "));
  CHECK(contains(error, "file too short"));
}

TEST_CASE("a library that is not NVRTC is refused by the name of the symbol that it lacks") {
  const std::string error = refusal([] { const Compiler compiler("libm.so.6"); });
  CHECK(error.starts_with("compile_failed: "));
  CHECK(contains(error, "libm.so.6: undefined symbol: nvrtcVersion"));
}

TEST_CASE("NVRTC gets the builtins that lie beside it" * doctest::skip(no_nvrtc())) {
  const TemporaryFolder folder;
  const fs::path installed = fs::path(nvrtc()->library().path);
  const fs::path copy = folder / installed.filename();
  fs::copy_file(installed, copy);
  std::string builtins;
  for (const fs::directory_entry& entry : fs::directory_iterator(installed.parent_path())) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("libnvrtc-builtins.so.")) continue;
    builtins = (folder / name).string();
    fs::copy_file(entry.path(), builtins);
  }
  REQUIRE(!builtins.empty());

  const Compiler compiler(copy.string());
  CHECK(compiler.library().path == copy.string());
  const std::vector<std::string> mapped = mapped_libraries();
  CHECK(std::count(mapped.begin(), mapped.end(), builtins) == 1);
  CHECK(is_cubin(compiler.compile(kSource, "twice.cu", "sm_90", usual_options)));
}

}  // namespace ropejit
