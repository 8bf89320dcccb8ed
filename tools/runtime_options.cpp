#include "tools/runtime_options.h"

#include <fmt/format.h>

#include <cstdio>

#include "tools/exit_code.h"
#include "tools/verb.h"

namespace ropejit {

void add_cache_dir_option(Verb verb, std::optional<std::string>& cache_dir) {
  verb.add_option("--cache-dir", cache_dir, "DIR",
                  "Folder of the kernel cache; default: $ROPEJIT_CACHE_DIR,\n"
                  "else $XDG_CACHE_HOME/ropejit, else ~/.cache/ropejit");
}

RuntimeOptions runtime_options(const std::optional<std::string>& cache_dir) {
  RuntimeOptions options = RuntimeOptions::from_environment();
  if (cache_dir) {
    if (cache_dir->empty()) {
      throw Failure(ExitCode::usage, "--cache-dir = \"\": must name a folder");
    }
    options.cache_dir = *cache_dir;
  }
  options.log = print_note;
  return options;
}

RuntimeOptions runtime_options_with_folder(const std::optional<std::string>& cache_dir) {
  RuntimeOptions options = runtime_options(cache_dir);
  if (options.cache_dir.empty()) {
    throw Failure(ExitCode::environment,
                  "there is no cache folder: none of ROPEJIT_CACHE_DIR, XDG_CACHE_HOME and HOME is "
                  "set; name one with --cache-dir");
  }
  return options;
}

void print_note(std::string_view line) {
  std::fputs(fmt::format("ropejit: {}\n", line).c_str(), stderr);  // one write: lines stay whole
}

}  // namespace ropejit
