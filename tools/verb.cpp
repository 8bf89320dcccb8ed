// All that the tool has to do with CLI11: a file that includes it takes many seconds to compile.
#include "tools/verb.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "src/text.h"

namespace ropejit {
namespace {

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

}  // namespace

Verb Verb::add_verb(const char* name, const char* what) {
  app_->require_subcommand(1);
  Verb verb(*app_->add_subcommand(name, what), *result_);
  verb.footer("");
  return verb;
}

void Verb::footer(const char* text) { app_->footer(std::string(text) + kExitCodesHelp); }

template <typename Value>
void Verb::add_option(const char* names, Value& value, const char* type, const std::string& what) {
  app_->add_option(names, value, what)->type_name(type);
}

template void Verb::add_option(const char*, std::string&, const char*, const std::string&);
template void Verb::add_option(const char*, int&, const char*, const std::string&);
template void Verb::add_option(const char*, std::uint64_t&, const char*, const std::string&);
template void Verb::add_option(const char*, std::vector<std::string>&, const char*,
                               const std::string&);
template void Verb::add_option(const char*, std::optional<std::string>&, const char*,
                               const std::string&);
template void Verb::add_option(const char*, std::optional<double>&, const char*,
                               const std::string&);

void Verb::split_at_commas(const char* option) { app_->get_option(option)->delimiter(','); }

void Verb::expect(const char* option, int values) { app_->get_option(option)->expected(values); }

void Verb::add_flag(const char* names, bool& value, const char* what) {
  app_->add_flag(names, value, what);
}

void Verb::exclude(const char* option, std::initializer_list<const char*> others) {
  for (const char* other : others) app_->get_option(option)->excludes(app_->get_option(other));
}

void Verb::on_named(std::function<ExitCode()> work) {
  app_->callback([work = std::move(work), result = result_] { *result = work(); });
}

Tool::Tool(const char* name, const char* what, const std::string& version)
    : app_(std::make_unique<CLI::App>(what, name)) {
  app_->set_version_flag("--version", version);
  root().footer("");
}

Tool::~Tool() = default;

ExitCode Tool::run(int argc, char** argv) {
  check_verbs(*app_, std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw usage_failure(*app_, error);
    app_->exit(error);  // prints the help or the version
  }
  return result_;
}

}  // namespace ropejit
