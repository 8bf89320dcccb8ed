#include "tests/command_line.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <utility>

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace ropejit {
namespace {

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// A terminal to write to: what arrives on the other side is read from `master`.
struct Terminal {
  Terminal() : master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (master == -1 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) {
      throw std::runtime_error("no pseudo-terminal");
    }
    slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  }
  ~Terminal() {
    ::close(slave);
    ::close(master);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// Everything until the last writer is gone.
  std::string read_to_end() {
    ::close(std::exchange(slave, -1));
    std::string text;
    std::array<char, 4096> chunk;
    for (ssize_t size = 0; (size = ::read(master, chunk.data(), chunk.size())) > 0;) {
      text.append(chunk.data(), static_cast<std::size_t>(size));
    }
    return text;
  }

  int master;
  int slave;
};

/// In the child: makes `stream` what `kind` says.
void redirect(int stream, Stream kind, const std::string& file, const Terminal& terminal) {
  int target = -1;
  switch (kind) {
    case Stream::captured:
      target = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      break;
    case Stream::full_device:
      target = ::open("/dev/full", O_WRONLY);
      break;
    case Stream::terminal:
      target = terminal.slave;
      break;
    case Stream::pipe_without_reader: {
      std::array<int, 2> ends{};
      if (::pipe(ends.data()) != 0) ::_exit(126);
      ::close(ends[0]);
      target = ends[1];
      break;
    }
    case Stream::closed:
      return;  // not yet: the next file to be opened would take its place
  }
  if (target == -1 || ::dup2(target, stream) == -1) ::_exit(126);
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

CommandLine::CommandLine() {
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos) environment_[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const char* variable : {"ROPEJIT_NO_COMPILE", "ROPEJIT_CPU_FALLBACK", "XDG_CACHE_HOME",
                               "STUB_CUDA_FAIL", "CUDA_VISIBLE_DEVICES", "ROPEJIT_TUNED"}) {
    set(variable, std::nullopt);
  }
  set("ROPEJIT_CACHE_DIR", cache_folder());
  set("XDG_CONFIG_HOME", (folder / "config").string());
  set("ROPEJIT_CUDA", (folder / "no-libcuda.so").string());
}

void CommandLine::set(const std::string& variable, const std::optional<std::string>& value) {
  if (value) {
    environment_[variable] = *value;
  } else {
    environment_.erase(variable);
  }
}

CommandResult CommandLine::run(const std::vector<std::string>& arguments) const {
  std::vector<std::string> words = {ROPEJIT_CLI};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment_) variables.push_back(name + '=' + value);
  const std::vector<char*> argv = pointers_to(words);
  const std::vector<char*> envp = pointers_to(variables);
  const std::string out_file = (folder / "stdout").string();
  const std::string err_file = (folder / "stderr").string();
  for (const std::string& file : {out_file, err_file}) std::filesystem::remove(file);

  Terminal terminal;
  const pid_t child = ::fork();
  if (child == -1) throw std::runtime_error("fork failed");
  if (child == 0) {
    ::signal(SIGPIPE, SIG_DFL);
    redirect(STDOUT_FILENO, out, out_file, terminal);
    redirect(STDERR_FILENO, err, err_file, terminal);
    if (out == Stream::closed) ::close(STDOUT_FILENO);
    if (err == Stream::closed) ::close(STDERR_FILENO);
    ::execve(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  if (meanwhile) meanwhile(child);
  CommandResult result;
  const std::string shown = terminal.read_to_end();
  int status = 0;
  if (::waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid failed");
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  result.out = out == Stream::terminal ? shown : read_all(out_file);
  result.err = err == Stream::terminal ? shown : read_all(err_file);
  return result;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string last_line(const std::string& text) {
  return text.ends_with('\n') ? lines_of(text).back() : std::string();
}

int count_lines(const std::string& text, const std::string& start) {
  const std::vector<std::string> lines = lines_of(text);
  return static_cast<int>(std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
    return line.starts_with(start);
  }));
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string model_path(const std::string& name) {
  return ROPEJIT_TEST_DATA "/models/" + name + "/config.json";
}

}  // namespace ropejit
