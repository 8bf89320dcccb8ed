#include "src/compiler.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nvrtc.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>
#include <utility>

#include "ropejit/error.h"
#include "src/shared_library.h"

namespace ropejit {
namespace {

/// Turing: the oldest architecture that CUDA 13 still produces, and the templates' lower limit.
constexpr int kOldestArch = 75;
/// The oldest architectures with an architecture-specific (a) and a family-specific (f) variant.
constexpr int kOldestArchWithA = 90;
constexpr int kOldestArchWithF = 100;

/// Options of NVRTC that nvcc does not know; left out of the command that reproduces a failure.
constexpr std::array<std::string_view, 6> kOptionsOfNvrtcOnly = {
    "--minimal",       "-minimal",   "--device-as-default-execution-space",
    "-default-device", "--no-cache", "--no-source-include"};

/// Versions as CUDA's headers number them: 12.9 is 12090.
constexpr int kOldestVersion = 12000;
constexpr int kOldestVersionWithF = 12090;

std::string version_text(int version) {
  return fmt::format("NVRTC {}.{}", version / 1000, version % 1000 / 10);
}

/// A word as a POSIX shell has to be given it.
std::string shell_word(const std::string& text) {
  const auto is_plain = [](char c) {
    return std::string_view("-_=+./,:@%").find(c) != std::string_view::npos ||
           (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), is_plain)) return text;
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string nvcc_command(const std::string& name, std::string_view arch,
                         std::span<const std::string> options) {
  std::string command = fmt::format("nvcc -cubin -arch={}", arch);
  for (const std::string& option : options) {
    const auto* end = kOptionsOfNvrtcOnly.end();
    if (std::find(kOptionsOfNvrtcOnly.begin(), end, option) == end) {
      command += ' ' + shell_word(option);
    }
  }
  return command + ' ' + shell_word(name);
}

/// The names that check_arch() accepts, in ascending order.
std::vector<std::string> arch_names(const std::vector<int>& archs, int version) {
  std::vector<std::string> names;
  for (const int arch : archs) {
    names.push_back(fmt::format("sm_{}", arch));
    if (arch >= kOldestArchWithA) names.push_back(fmt::format("sm_{}a", arch));
    if (arch >= kOldestArchWithF && version >= kOldestVersionWithF) {
      names.push_back(fmt::format("sm_{}f", arch));
    }
  }
  return names;
}

/// Opens libnvrtc-builtins from the folder of `nvrtc`, and leaves it open. NVRTC asks the loader
/// for it by its bare name at every compilation and takes one that is already mapped; otherwise the
/// loader may offer one of another toolkit, or none. Failures are left for NVRTC to report: its log
/// says what it misses.
void open_builtins_beside(const SharedLibrary& nvrtc) {
  const std::filesystem::path folder = std::filesystem::path(nvrtc.path()).parent_path();
  if (folder.empty()) return;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (!entry->path().filename().string().starts_with("libnvrtc-builtins.so.")) continue;
    try {
      SharedLibrary(entry->path().string(), ErrorCode::compile_failed).pin();
    } catch (const Error&) {
    }
  }
}

}  // namespace

struct Compiler::Api {
  explicit Api(const LibraryCandidate& from);
  class Program;

  /// Throws Error(compile_failed) that names the call, unless NVRTC calls it a success.
  template <typename Function, typename... Args>
  void call(const EntryPoint<Function>& entry, Args... args) const {
    const nvrtcResult result = entry.function(args...);
    if (result == NVRTC_SUCCESS) return;
    throw Error(ErrorCode::compile_failed,
                fmt::format("{} of {} failed: {}", entry.name, library.path(), error_name(result)));
  }
  std::string error_name(nvrtcResult result) const { return get_error_string.function(result); }

  SharedLibrary library;
  EntryPoint<decltype(&::nvrtcVersion)> get_version{library, "nvrtcVersion"};
  EntryPoint<decltype(&::nvrtcGetErrorString)> get_error_string{library, "nvrtcGetErrorString"};
  EntryPoint<decltype(&::nvrtcGetNumSupportedArchs)> get_num_supported_archs{
      library, "nvrtcGetNumSupportedArchs"};
  EntryPoint<decltype(&::nvrtcGetSupportedArchs)> get_supported_archs{library,
                                                                      "nvrtcGetSupportedArchs"};
  EntryPoint<decltype(&::nvrtcCreateProgram)> create_program{library, "nvrtcCreateProgram"};
  EntryPoint<decltype(&::nvrtcDestroyProgram)> destroy_program{library, "nvrtcDestroyProgram"};
  EntryPoint<decltype(&::nvrtcCompileProgram)> compile_program{library, "nvrtcCompileProgram"};
  EntryPoint<decltype(&::nvrtcGetCUBINSize)> get_cubin_size{library, "nvrtcGetCUBINSize"};
  EntryPoint<decltype(&::nvrtcGetCUBIN)> get_cubin{library, "nvrtcGetCUBIN"};
  EntryPoint<decltype(&::nvrtcGetProgramLogSize)> get_log_size{library, "nvrtcGetProgramLogSize"};
  EntryPoint<decltype(&::nvrtcGetProgramLog)> get_log{library, "nvrtcGetProgramLog"};

  LibraryCandidate candidate;
  std::string version;
  std::vector<int> architectures;
  std::vector<std::string> arch_names;

 private:
  int read_version() const;
  std::vector<int> read_architectures() const;
};

int Compiler::Api::read_version() const {
  int major = 0;
  int minor = 0;
  call(get_version, &major, &minor);
  return major * 1000 + minor * 10;
}

std::vector<int> Compiler::Api::read_architectures() const {
  int count = 0;
  call(get_num_supported_archs, &count);
  std::vector<int> archs(static_cast<std::size_t>(count));
  call(get_supported_archs, archs.data());
  std::erase_if(archs, [](int arch) { return arch < kOldestArch; });
  std::sort(archs.begin(), archs.end());
  return archs;
}

Compiler::Api::Api(const LibraryCandidate& from)
    : library(from.path, ErrorCode::compile_failed), candidate{library.path(), from.origin} {
  const int found = read_version();
  version = version_text(found);
  if (found < kOldestVersion) {
    throw Error(ErrorCode::compile_failed,
                fmt::format("{}: is {}; ropejit needs {} or newer", library.path(), version,
                            version_text(kOldestVersion)));
  }
  architectures = read_architectures();
  arch_names = ropejit::arch_names(architectures, found);
  open_builtins_beside(library);
  // NVRTC keeps state in the threads that compiled, which outlive the Compiler.
  library.pin();
}

/// One compilation. Destroyed whatever happens.
class Compiler::Api::Program {
 public:
  Program(const Api& api, const std::string& source, const std::string& name) : api_(api) {
    api_.call(api_.create_program, &program_, source.c_str(), name.c_str(), 0, nullptr, nullptr);
  }
  ~Program() { api_.destroy_program.function(&program_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  nvrtcResult compile(std::span<const std::string> options) {
    std::vector<const char*> texts;
    for (const std::string& option : options) texts.push_back(option.c_str());
    return api_.compile_program.function(program_, static_cast<int>(texts.size()), texts.data());
  }

  std::string log() const {
    std::size_t size = 0;
    api_.call(api_.get_log_size, program_, &size);
    std::string text(size, '\0');
    api_.call(api_.get_log, program_, text.data());
    text.erase(text.find_last_not_of(std::string_view("\0\n", 2)) + 1);
    return text;
  }

  std::vector<std::byte> cubin() const {
    std::size_t size = 0;
    api_.call(api_.get_cubin_size, program_, &size);
    std::vector<std::byte> bytes(size);
    api_.call(api_.get_cubin, program_, reinterpret_cast<char*>(bytes.data()));
    return bytes;
  }

 private:
  const Api& api_;
  nvrtcProgram program_ = nullptr;
};

Compiler::Compiler(const std::string& library) {
  std::string tried;
  for (const LibraryCandidate& candidate : nvrtc_candidates(library)) {
    try {
      api_ = std::make_unique<const Api>(candidate);
      return;
    } catch (const Error& error) {
      tried += fmt::format("\n  {} ({})", error.what(), candidate.origin);
    }
  }
  throw Error(ErrorCode::compile_failed,
              fmt::format("cannot open NVRTC (libnvrtc), which compiles the kernels; tried:{}\n"
                          "Install the CUDA toolkit or the NVRTC wheel, name the library with "
                          "$ROPEJIT_NVRTC, or take the kernels from a cache that was prewarmed.",
                          tried));
}

Compiler::~Compiler() = default;

const std::string& Compiler::version() const noexcept { return api_->version; }

const LibraryCandidate& Compiler::library() const noexcept { return api_->candidate; }

const std::vector<int>& Compiler::architectures() const noexcept { return api_->architectures; }

void Compiler::check_arch(std::string_view arch) const {
  const std::vector<std::string>& known = api_->arch_names;
  if (std::find(known.begin(), known.end(), arch) != known.end()) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("arch: '{}' is not an architecture that ropejit builds for with {}; it "
                          "must be one of {}",
                          arch, version(), fmt::join(known, ", ")));
}

std::vector<std::byte> Compiler::compile(const std::string& source, const std::string& name,
                                         std::string_view arch,
                                         std::span<const std::string> options) const {
  check_arch(arch);
  std::vector<std::string> all_options(options.begin(), options.end());
  all_options.push_back(fmt::format("--gpu-architecture={}", arch));

  Api::Program program(*api_, source, name);
  const nvrtcResult result = program.compile(all_options);
  if (result == NVRTC_SUCCESS) return program.cubin();
  throw Error(ErrorCode::compile_failed,
              fmt::format("{} ({}) cannot compile {}: {}\n{}\noptions: {}\n"
                          "To reproduce, write the source with `ropejit render`, then run\n  {}",
                          version(), library().path, name, api_->error_name(result), program.log(),
                          fmt::join(all_options, " "), nvcc_command(name, arch, options)));
}

}  // namespace ropejit
