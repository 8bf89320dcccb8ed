#include "tools/host_kernel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "ropejit/error.h"
#include "src/text.h"
#include "tools/scratch_folder.h"

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace ropejit {
namespace {

std::string environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? std::string() : std::string(value);
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (const std::string_view word : split(text, ' ')) {
    if (!word.empty()) words.emplace_back(word);
  }
  return words;
}

bool can_be_run(const std::filesystem::path& program) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(program, ignored) && ::access(program.c_str(), X_OK) == 0;
}

/// As execvp looks for it.
bool is_on_path(const std::string& program) {
  if (program.find('/') != std::string::npos) return can_be_run(program);
  const std::string path = environment("PATH");
  const std::vector<std::string_view> folders = split(path, ':');
  return std::any_of(folders.begin(), folders.end(), [&](std::string_view folder) {
    return can_be_run(std::filesystem::path(folder.empty() ? "." : folder) / program);
  });
}

/// posix_spawn's description of the child's standard streams: no input, all output to `log`.
class Streams {
 public:
  explicit Streams(const std::string& log) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions_, 1, log.c_str(), O_WRONLY | O_CREAT, 0600);
    ::posix_spawn_file_actions_adddup2(&actions_, 1, 2);
  }
  ~Streams() { ::posix_spawn_file_actions_destroy(&actions_); }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

/// Runs a command, without a shell, to its end. Nothing when it exits with 0, else what became of
/// it.
std::string run_command(const std::vector<std::string>& command, const std::string& log) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const Streams streams(log);
  pid_t child = 0;
  const int failure =
      ::posix_spawnp(&child, arguments[0], streams.get(), nullptr, arguments.data(), environ);
  if (failure != 0) return std::generic_category().message(failure);
  int status = 0;
  while (::waitpid(child, &status, 0) == -1) {
    if (errno != EINTR) return std::generic_category().message(errno);
  }
  if (WIFSIGNALED(status)) return fmt::format("ended by signal {}", WTERMSIG(status));
  const int code = WEXITSTATUS(status);
  return code == 0 ? std::string() : fmt::format("exit status {}", code);
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text << std::flush;
  if (!file) throw Error(ErrorCode::io, fmt::format("{}: cannot be written", path.string()));
}

SharedLibrary compile(const HostCompiler& compiler, const Source& source) {
  const ScratchFolder folder;  // what is mapped stays when its file goes
  const std::string text = (folder.path() / source.name).string();
  const std::string output = (folder.path() / "kernel.so").string();
  const std::string log = (folder.path() / "log").string();
  write_text(text, source.text);
  std::vector<std::string> command = compiler.command;
  // As in templates/README.md. No contraction: kernels fuse explicitly.
  for (const char* option : {"-std=c++20", "-O1", "-fPIC", "-shared", "-ffp-contract=off",
                             "-Wno-unknown-pragmas", "-x", "c++", "-o"}) {
    command.emplace_back(option);
  }
  command.push_back(output);
  command.push_back(text);
  if (const std::string problem = run_command(command, log); !problem.empty()) {
    throw Error(ErrorCode::compile_failed,
                fmt::format("the C++ compiler cannot compile {} for the host: {}\n{}\ncommand: {}\n"
                            "(`ropejit render` writes the source)",
                            source.name, problem, trim(read_text(log)), fmt::join(command, " ")));
  }
  return SharedLibrary(output, ErrorCode::compile_failed);
}

}  // namespace

HostCompiler find_host_compiler() {
  const std::vector<std::string> chosen = words_of(environment("CXX"));
  if (!chosen.empty()) {
    if (is_on_path(chosen.front())) return {chosen};
    throw Error(ErrorCode::unsupported,
                fmt::format("no C++ compiler found: tried {} (from $CXX); install g++ or set CXX",
                            chosen.front()));
  }
  constexpr std::array<const char*, 3> kUsual = {"c++", "g++", "clang++"};
  for (const char* program : kUsual) {
    if (is_on_path(program)) return {{program}};
  }
  throw Error(ErrorCode::unsupported,
              fmt::format("no C++ compiler found: tried {}; install g++ or set CXX",
                          fmt::join(kUsual, ", ")));
}

HostKernel::HostKernel(const HostCompiler& compiler, const Source& source)
    : library_(compile(compiler, source)),
      entry_(reinterpret_cast<Entry>(library_.symbol("ropejit_rope_on_host"))) {}

long long HostKernel::run(const kernel::RopeParams& params, unsigned grid, unsigned block) const {
  const std::lock_guard lock(mutex_);
  return entry_(&params, grid, block);
}

}  // namespace ropejit
