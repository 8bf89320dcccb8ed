#ifndef ROPEJIT_TESTS_RUNTIME_FIXTURE_H_
#define ROPEJIT_TESTS_RUNTIME_FIXTURE_H_

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "cache/cubin_cache.h"
#include "ropejit/runtime.h"
#include "src/build.h"
#include "src/compiler.h"
#include "src/kernel_plan.h"
#include "src/source.h"
#include "src/tuning_table.h"
#include "tests/refusal.h"
#include "tests/stub_fixture.h"
#include "tests/temporary_folder.h"

// What the tests of Builder, prewarm() and Runtime share.
namespace ropejit {

inline RopeSpec small_spec(int head_dim = 64) {
  RopeSpec spec;
  spec.head_dim = head_dim;
  spec.q_heads = 2;
  spec.kv_heads = 1;
  return spec;
}

inline Frequencies frequencies_of(const RopeSpec& spec) {
  return default_frequencies(spec.rotary(), 10000);
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// The folder that a child of a test works on; empty in the test's own process.
inline std::filesystem::path child_folder() {
  const char* folder = std::getenv("ROPEJIT_TEST_CHILD_FOLDER");
  return folder == nullptr ? "" : folder;
}

/// Whether the documented search finds no NVRTC on this machine. It is not searched for in a child:
/// its one test case may be about NVRTC not being there.
inline bool no_nvrtc() {
  static const bool absent = !child_folder().empty() || refusal([] { Compiler(""); }) != "accepted";
  return absent;
}

/// What a library logged, from any thread.
class LogLines {
 public:
  std::function<void(std::string_view)> callback() {
    return [this](std::string_view line) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(line);
    };
  }
  std::vector<std::string> lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// The counters that are not zero, such as `misses 2, compiles 2, NVRTC`.
inline std::string text_of(const Stats& stats) {
  std::string text;
  const auto add = [&](const char* what, std::uint64_t count) {
    if (count == 0) return;
    text += (text.empty() ? "" : ", ") + (std::string(what) + ' ') + std::to_string(count);
  };
  add("memory_hits", stats.memory_hits);
  add("disk_hits", stats.disk_hits);
  add("misses", stats.misses);
  add("damaged", stats.damaged);
  add("driver_refused", stats.driver_refused);
  add("compiles", stats.compiles);
  add("write_failures", stats.write_failures);
  add("unaligned_calls", stats.unaligned_calls);
  return text + (stats.nvrtc_opened ? ", NVRTC" : "");
}

/// The requests for a spec's kernels, as rope() and prewarm() make them where no tuned file is for
/// the device.
inline std::vector<BuildRequest> requests_for(const RopeSpec& spec,
                                              const std::string& arch = "sm_90") {
  std::vector<BuildRequest> requests;
  for (const auto& [kernel_spec, config] : plan_kernels(spec, heuristic_configs(spec)).kernels) {
    requests.push_back({kernel_spec, config, arch});
  }
  return requests;
}

/// The requests of prewarm() for a spec without tuned files of the user or the system.
inline std::vector<BuildRequest> prewarm_requests(const RopeSpec& spec,
                                                  const std::string& arch = "sm_90") {
  std::vector<BuildRequest> requests;
  for (const auto& [kernel_spec, config] :
       TuningTable({}, shipped_tuning()).all_kernels(spec, arch)) {
    requests.push_back({kernel_spec, config, arch});
  }
  return requests;
}

inline std::filesystem::path entry_path(const std::filesystem::path& folder,
                                        const BuildRequest& request) {
  return folder / (Builder::key_of(request).hex() + ".cubin");
}

inline Bytes bytes_of(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

/// What the stub of libcuda takes for a cubin.
inline Bytes loadable() {
  return bytes_of(
      "\x7f"
      "ELF, for a stub");
}

/// Puts entries for all of a spec's kernels into a folder, as a compiler of that version would.
inline void put_entries(const std::filesystem::path& folder, const RopeSpec& spec,
                        const Bytes& cubin, const std::string& compiler = "NVRTC 1.0") {
  for (const BuildRequest& request : requests_for(spec)) {
    const Entry entry{Builder::key_of(request), "made by a test", "sm_90", compiler, cubin};
    if (const auto problem = CubinCache(folder).put(entry)) throw std::runtime_error(*problem);
  }
}

/// Another process of this program that runs one test case, on `folder`. That case is skipped
/// wherever child_folder() is empty.
class Child {
 public:
  Child(const std::string& test_case, const std::filesystem::path& folder) {
    const std::string filter = "--test-case=" + test_case;
    const std::string variable = "ROPEJIT_TEST_CHILD_FOLDER=" + folder.string();
    std::vector<char*> environment = {const_cast<char*>(variable.c_str())};
    for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
    environment.push_back(nullptr);
    char* arguments[] = {const_cast<char*>("child"), const_cast<char*>(filter.c_str()),
                         const_cast<char*>("--minimal=true"), nullptr};
    const std::string program = std::filesystem::read_symlink("/proc/self/exe");
    if (posix_spawn(&pid_, program.c_str(), nullptr, nullptr, arguments, environment.data()) != 0) {
      throw std::runtime_error("posix_spawn failed");
    }
  }
  /// The exit status.
  int wait() const {
    int status = 0;
    if (waitpid(pid_, &status, 0) != pid_) throw std::runtime_error("waitpid failed");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = 0;
};

/// Runtimes on the stub's device, with a cache folder and a log of the test's own.
struct RuntimeFixture : StubFixture {
  TemporaryFolder temporary;
  std::filesystem::path folder = temporary / "cache";
  LogLines log;
  RuntimeOptions options = default_options();
  RopeSpec spec = small_spec();
  std::size_t kernels = requests_for(spec).size();  ///< of a Rope

  RuntimeOptions default_options() {
    RuntimeOptions result;
    result.cache_dir = folder.string();
    result.cuda_library = ROPEJIT_STUB_CUDA;
    result.log = log.callback();
    return result;
  }
  Rope resolve(Runtime& runtime) const { return runtime.rope(spec, frequencies_of(spec)); }
  /// The counts after one rope() by a Runtime of its own.
  std::string counts_of_one() {
    Runtime runtime(options);
    resolve(runtime);
    return text_of(runtime.stats());
  }
};

/// A call of one token on buffers that the stub's kernels never touch.
inline RopeArgs one_token(void* q) {
  RopeArgs args;
  args.seq = 1;
  args.q = args.q_out = dense_bshd(q, 1, 2, 64);
  return args;
}

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_RUNTIME_FIXTURE_H_
