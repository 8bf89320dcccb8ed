// The command line tool `ropejit`.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "ropejit/error.h"
#include "src/text.h"
#include "tools/bench_command.h"
#include "tools/cache_command.h"
#include "tools/doctor_command.h"
#include "tools/exit_code.h"
#include "tools/explain_command.h"
#include "tools/prewarm_command.h"
#include "tools/render_command.h"
#include "tools/runtime_options.h"
#include "tools/tune_command.h"
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

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({})) names.push_back(verb->get_name());
  return names;
}

std::string nearest_of(std::string_view text, const std::vector<std::string>& known) {
  const std::vector<std::string_view> views(known.begin(), known.end());
  return std::string(nearest(text, views));
}

/// `cache: ` in messages about that verb; nothing for the tool itself.
std::string prefix(const CLI::App& app) {
  return app.get_parent() == nullptr ? "" : app.get_name() + ": ";
}

/// Follows the verbs at the start of the command line. Throws Failure for a word that is none, and
/// where one is missing.
void check_verbs(const CLI::App& app, std::span<char*> arguments) {
  const std::vector<std::string> names = verb_names(app);
  if (names.empty()) return;
  const std::vector<std::string_view> views(names.begin(), names.end());
  if (arguments.empty()) {
    throw Failure(ExitCode::usage, fmt::format("{}name a verb: {}", prefix(app), join_or(views)));
  }
  const std::string_view word = arguments.front();
  if (word.starts_with('-')) return;
  for (const CLI::App* verb : app.get_subcommands({})) {
    if (verb->get_name() == word) return check_verbs(*verb, arguments.subspan(1));
  }
  throw Failure(ExitCode::usage,
                fmt::format("{}unknown verb {}: must be {}; nearest known: {}", prefix(app), word,
                            join_or(views), nearest(word, views)));
}

/// The verb that the command line named.
const CLI::App& named_verb(const CLI::App& app) {
  const std::vector<CLI::App*> named = app.get_subcommands();
  return named.empty() ? app : named_verb(*named.front());
}

std::string unexpected(const CLI::App& verb, const std::string& word) {
  if (!word.starts_with('-')) return fmt::format("unexpected argument {}", word);
  std::vector<std::string> known;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  return fmt::format("unknown option {}; nearest known: {}", word, nearest_of(word, known));
}

/// One line for what the command line's parser complains of.
Failure usage_failure(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& verb = named_verb(app);
  const std::vector<std::string> extra = app.remaining(true);
  const bool is_extra = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !extra.empty();
  return Failure(
      ExitCode::usage,
      fmt::format("{}{}", prefix(verb), is_extra ? unexpected(verb, extra.front()) : error.what()));
}

ExitCode run(int argc, char** argv) {
  ExitCode result = ExitCode::ok;
  CLI::App app("Generates, compiles and caches rotary-embedding (RoPE) kernels for CUDA.",
               "ropejit");
  app.set_version_flag("--version", fmt::format("ropejit {} ({})", version(), commit()));
  app.require_subcommand(1);
  app.footer(std::string(kFooter) + kExitCodesHelp);
  add_prewarm_command(app, result);
  add_render_command(app, result);
  add_verify_command(app, result);
  add_bench_command(app, result);
  add_tune_command(app, result);
  add_explain_command(app, result);
  add_cache_command(app, result);
  add_doctor_command(app, result);
  check_verbs(app, std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw usage_failure(app, error);
    app.exit(error);  // prints the help or the version
  }
  return result;
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
