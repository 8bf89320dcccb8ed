#ifndef ROPEJIT_TOOLS_VERB_H_
#define ROPEJIT_TOOLS_VERB_H_

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>

#include "tools/exit_code.h"

namespace CLI {
class App;
}

namespace ropejit {

/// A verb of the command line, such as `render`, or the tool itself, whose verbs are parts of it.
/// A handle, valid as long as its Tool: copies are the same verb. What options store into must
/// live until Tool::run() has returned; the function given to on_named() can own it.
///
/// Names are as on the command line, several ones of an option as "-o,--out". A name that is given
/// twice, and one that excludes() does not find, is a mistake in the program, for which the parser
/// throws.
class Verb {
 public:
  /// A verb of this verb. One of those that were added has to be named then.
  Verb add_verb(const char* name, const char* what);

  /// What the help has behind the options, and before the exit codes.
  void footer(const char* text);

  /// An option with a value that its help calls `type`. A `value` keeps what it has where the
  /// option is not given. For std::string, int, std::uint64_t, std::vector<std::string>, which
  /// takes every word up to the next option, and std::optional of std::string and double.
  template <typename Value>
  void add_option(const char* names, Value& value, const char* type, const std::string& what);

  /// The values of a list option may also be one word with commas between them.
  void split_at_commas(const char* option);

  /// A list option takes as many values as this.
  void expect(const char* option, int values);

  void add_flag(const char* names, bool& value, const char* what);

  /// Refuses each of the others beside the option.
  void exclude(const char* option, std::initializer_list<const char*> others);

  /// What the verb does, once the command line that names it has been read. May throw Failure and
  /// Error.
  void on_named(std::function<ExitCode()> work);

 private:
  friend class Tool;
  Verb(CLI::App& app, ExitCode& result) : app_(&app), result_(&result) {}

  CLI::App* app_;
  ExitCode* result_;
};

/// The command line of a tool.
class Tool {
 public:
  /// `version` is what --version prints.
  Tool(const char* name, const char* what, const std::string& version);
  ~Tool();
  Tool(const Tool&) = delete;
  Tool& operator=(const Tool&) = delete;

  Verb root() { return {*app_, result_}; }

  /// Reads the command line and does what the verb does that it names, or prints the help or the
  /// version that it asks for. Throws Failure(usage), with one line, for a command line that is
  /// refused, and what the verb throws.
  ExitCode run(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
  ExitCode result_ = ExitCode::ok;
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_VERB_H_
