// The command line tool `ropejit`.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <system_error>

#include "ropejit/error.h"
#include "tools/bench_command.h"
#include "tools/cache_command.h"
#include "tools/doctor_command.h"
#include "tools/exit_code.h"
#include "tools/explain_command.h"
#include "tools/inspect_command.h"
#include "tools/prewarm_command.h"
#include "tools/render_command.h"
#include "tools/runtime_options.h"
#include "tools/tune_command.h"
#include "tools/verb.h"
#include "tools/verify_command.h"
#include "tools/version.h"

namespace ropejit {
namespace {

constexpr const char* kFooter = "`ropejit VERB --help` has the options of a verb and examples.\n\n";

/// A file opened while stdout is closed would become stdout, and get what is printed. What takes
/// its place here refuses to be written, so that the loss shows; what is said on stderr is lost.
void occupy_closed_streams() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (::fcntl(stream, F_GETFD) == -1) {
      [[maybe_unused]] const int lowest =
          ::open("/dev/null", stream == STDERR_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

ExitCode run(int argc, char** argv) {
  Tool tool("ropejit", "Generates, compiles and caches rotary-embedding (RoPE) kernels for CUDA.",
            fmt::format("ropejit {} ({})", version(), commit()));
  Verb root = tool.root();
  root.footer(kFooter);
  add_inspect_command(root);
  add_prewarm_command(root);
  add_render_command(root);
  add_verify_command(root);
  add_bench_command(root);
  add_tune_command(root);
  add_explain_command(root);
  add_cache_command(root);
  add_doctor_command(root);
  return tool.run(argc, argv);
}

/// Runs the tool and says what went wrong.
ExitCode run_and_report(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Failure& failure) {
    print_note(failure.what());
    return failure.code();
  } catch (const Error& error) {
    print_note(error.what());
    return exit_code_of(error.code());
  } catch (const std::system_error& error) {
    const bool is_stdout = std::ferror(stdout) != 0;
    print_note(is_stdout ? "cannot write to stdout: " + error.code().message() : error.what());
    return ExitCode::environment;
  } catch (const std::exception& error) {
    print_note(error.what());
    return ExitCode::environment;
  }
}

/// Results that nobody got are no success.
ExitCode after_flush(ExitCode result) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return result;
  if (result != ExitCode::ok) return result;  // and the reason has been said
  print_note("cannot write to stdout");
  return ExitCode::environment;
}

}  // namespace
}  // namespace ropejit

int main(int argc, char** argv) {
  ropejit::occupy_closed_streams();
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // so that a log shows lines as they come
  return static_cast<int>(ropejit::after_flush(ropejit::run_and_report(argc, argv)));
}
