// The writing of tuning_file.h to disk.

#include <fmt/format.h>

#include "ropejit/error.h"
#include "src/replace_file.h"
#include "src/tuning_file.h"

namespace ropejit {
namespace {

void check_configs(const TuningFile& file, const std::string& path) {
  const auto check = [&](const TuningEntry& entry, const LaunchConfig& config) {
    try {
      validate(config);
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}, {} tokens: {}", path, describe(entry.spec),
                                            entry.tokens, error.what()));
    }
  };
  for (const TuningRun& run : file.runs) {
    for (const TuningEntry& entry : run.entries) {
      check(entry, entry.chosen.config);
      if (entry.baseline) check(entry, entry.baseline->config);
    }
  }
}

}  // namespace

void save_tuning_file(const std::string& path, const TuningFile& file) {
  check_configs(file, path);
  const std::string text = to_json(file);
  parse_tuning_file(text, path);
  replace_file(path, text);
}

}  // namespace ropejit
