#ifndef ROPEJIT_TESTS_COMMAND_LINE_H_
#define ROPEJIT_TESTS_COMMAND_LINE_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/temporary_folder.h"

namespace ropejit {

/// What a run of `ropejit` left behind.
struct CommandResult {
  int exit_code = -1;  ///< -1: ended by `signal`
  int signal = 0;
  std::string out;
  std::string err;
};

/// Where a stream of the process goes.
enum class Stream { captured, closed, full_device, terminal, pipe_without_reader };

/// Runs the tool in a setting of the test's own: an empty cache folder, no driver, and nothing else
/// of ropejit's in the environment but where NVRTC is.
class CommandLine {
 public:
  CommandLine();

  CommandResult run(const std::vector<std::string>& arguments) const;

  /// Without a value, the variable is unset.
  void set(const std::string& variable, const std::optional<std::string>& value);

  /// Writes a spec file, whose text is `json`, and returns its path.
  std::string spec(const std::string& json) const { return folder.write("spec.json", json); }
  std::string cache_folder() const { return (folder / "cache").string(); }

  TemporaryFolder folder;
  Stream out = Stream::captured;
  Stream err = Stream::captured;
  /// What the test does while the tool runs.
  std::function<void(pid_t)> meanwhile;

 private:
  std::map<std::string, std::string> environment_;
};

/// A spec with two small kernels.
inline constexpr const char* kSmallSpec = R"({"head_dim": 16, "q_heads": 2, "kv_heads": 1})";

std::vector<std::string> lines_of(const std::string& text);
/// The last line, without its end; empty if the text does not end with a line end.
std::string last_line(const std::string& text);
/// How many lines begin with `start`.
int count_lines(const std::string& text, const std::string& start);
bool contains(const std::string& text, const std::string& part);
std::string model_path(const std::string& name);

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_COMMAND_LINE_H_
