#include "tools/cache_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cache/cubin_cache.h"
#include "tools/exit_code.h"
#include "tools/runtime_options.h"
#include "tools/verb.h"

namespace ropejit {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  ropejit cache list\n"
    "  ropejit cache list --json --cache-dir /cache\n"
    "  ropejit cache verify && echo sound\n"
    "  ropejit cache clear\n\n";

struct CacheOptions {
  std::optional<std::string> cache_dir;
  bool json = false;
};

CubinCache open_cache(const CacheOptions& options) {
  return CubinCache(runtime_options_with_folder(options.cache_dir).cache_dir);
}

/// What the folder refuses to tell is the machine's fault.
template <class Step>
auto on_folder(Step step) {
  try {
    return step();
  } catch (const std::filesystem::filesystem_error& error) {
    throw Failure(ExitCode::environment, error.what());
  }
}

std::vector<CubinCache::Listed> entries_of(const CubinCache& cache) {
  return on_folder([&] { return cache.list(); });
}

bool is_sound(const CubinCache::Listed& listed) { return listed.lookup.entry.has_value(); }

/// Why an entry is not sound: `damaged: digest mismatch`.
std::string complaint(const CubinCache::Listed& listed) {
  const bool damaged = listed.lookup.status == CubinCache::Lookup::Status::damaged;
  return fmt::format("{}: {}", damaged ? "damaged" : "unreadable", listed.lookup.reason);
}

std::string key_of(const CubinCache::Listed& listed) { return listed.path.stem().string(); }

void print_table(const std::vector<CubinCache::Listed>& entries) {
  std::size_t kernel = 0, arch = 0, compiler = 0;
  for (const CubinCache::Listed& listed : entries) {
    if (!is_sound(listed)) continue;
    kernel = std::max(kernel, listed.lookup.entry->kernel.size());
    arch = std::max(arch, listed.lookup.entry->arch.size());
    compiler = std::max(compiler, listed.lookup.entry->compiler.size());
  }
  const std::size_t width = kernel + arch + compiler + 4;
  for (const CubinCache::Listed& listed : entries) {
    std::string middle = complaint(listed);
    if (is_sound(listed)) {
      const Entry& entry = *listed.lookup.entry;
      middle =
          fmt::format("{:<{}}  {:<{}}  {}", entry.kernel, kernel, entry.arch, arch, entry.compiler);
    }
    fmt::print("{}  {:<{}}  {:>8} bytes\n", key_of(listed), middle, width, listed.file_bytes);
  }
}

void print_json(const CubinCache& cache, const std::vector<CubinCache::Listed>& entries) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const CubinCache::Listed& listed : entries) {
    nlohmann::ordered_json item = {{"key", key_of(listed)},
                                   {"path", listed.path.string()},
                                   {"bytes", listed.file_bytes},
                                   {"sound", is_sound(listed)}};
    if (is_sound(listed)) {
      item["kernel"] = listed.lookup.entry->kernel;
      item["arch"] = listed.lookup.entry->arch;
      item["compiler"] = listed.lookup.entry->compiler;
    } else {
      item["problem"] = complaint(listed);
    }
    list.push_back(std::move(item));
  }
  const nlohmann::ordered_json document = {{"folder", cache.directory().string()},
                                           {"entries", list}};
  fmt::print("{}\n", document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

ExitCode list(const CacheOptions& options) {
  const CubinCache cache = open_cache(options);
  const std::vector<CubinCache::Listed> entries = entries_of(cache);
  if (options.json) {
    print_json(cache, entries);
  } else if (entries.empty()) {
    print_note(fmt::format("no entries in {}", cache.directory().string()));
  } else {
    print_table(entries);
  }
  return ExitCode::ok;
}

ExitCode verify(const CacheOptions& options) {
  const std::vector<CubinCache::Listed> entries = entries_of(open_cache(options));
  std::size_t unsound = 0;
  for (const CubinCache::Listed& listed : entries) {
    if (is_sound(listed)) continue;
    ++unsound;
    fmt::print("{}  {}\n", listed.path.string(), complaint(listed));
  }
  fmt::print("checked {}, damaged {}\n", entries.size(), unsound);
  if (unsound == 0) return ExitCode::ok;
  print_note("`ropejit prewarm` and the first use rebuild what is damaged");
  return ExitCode::failed;
}

ExitCode clear(const CacheOptions& options) {
  const CubinCache cache = open_cache(options);
  const std::size_t removed = on_folder([&] { return cache.clear(); });
  fmt::print("files removed from {}: {}\n", cache.directory().string(), removed);
  return ExitCode::ok;
}

/// Adds `cache <name>`.
Verb add_action(Verb verb, const char* name, const char* what,
                const std::shared_ptr<CacheOptions>& options,
                ExitCode (*action)(const CacheOptions&)) {
  Verb added = verb.add_verb(name, what);
  add_cache_dir_option(added, options->cache_dir);
  added.on_named([options, action] { return action(*options); });
  return added;
}

}  // namespace

void add_cache_command(Verb tool) {
  const auto options = std::make_shared<CacheOptions>();
  Verb verb = tool.add_verb("cache", "List, verify or clear the kernel cache");
  verb.footer(kFooter);
  add_action(verb, "list", "Key, kernel, architecture, compiler and size of each entry", options,
             list)
      .add_flag("--json", options->json, "Print JSON");
  add_action(verb, "verify", "Check every entry's digest; exit with 1 if one is damaged", options,
             verify);
  add_action(verb, "clear", "Remove all entries and leftover temporary files", options, clear);
}

}  // namespace ropejit
