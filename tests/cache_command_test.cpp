#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ropejit/model.h"
#include "src/tuning_table.h"
#include "tests/command_line.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

/// A folder with the entries of a small spec.
struct FilledCache : CommandLine {
  FilledCache() { REQUIRE(prewarm() == fmt::format("compiled {}, cached 0, failed 0", entries)); }

  std::string prewarm() const {
    return last_line(run({"prewarm", "--arch", "sm_90", "--spec", spec(kSmallSpec)}).out);
  }
  /// The first entry in the order of names, as `cache list` has it.
  fs::path first_entry() const {
    return fs::path(cache_folder()) /
           (lines_of(run({"cache", "list"}).out).front().substr(0, 32) + ".cubin");
  }
  void damage(const fs::path& entry) const {
    std::fstream file(entry, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(100);
    const char old = static_cast<char>(file.get());
    file.seekp(100);
    file.put(static_cast<char>(old ^ 1));
  }

  const std::size_t entries =
      TuningTable({}, shipped_tuning())
          .all_kernels(parse_specs(kSmallSpec, "a test").front().spec, "sm_90")
          .size();
};

}  // namespace

TEST_CASE("each entry is a line with key, kernel, architecture, compiler and size") {
  const FilledCache cli;
  const CommandResult result = cli.run({"cache", "list"});
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  const std::vector<std::string> lines = lines_of(result.out);
  REQUIRE(lines.size() == cli.entries);
  for (const std::string& line : lines) {
    CAPTURE(line);
    const fs::path file = fs::path(cli.cache_folder()) / (line.substr(0, 32) + ".cubin");
    REQUIRE(fs::exists(file));
    CHECK(
        line.substr(32).starts_with("  d16 r16 bfloat16 sequential q2 kv1 offset exact forward a"));
    CHECK(contains(line, "  sm_90  NVRTC 1"));
    CHECK(line.ends_with(fmt::format(" {} bytes", fs::file_size(file))));
    CHECK(line.size() == lines.front().size());
    CHECK(line.find("  sm_90  ") == lines.front().find("  sm_90  "));
  }
}

TEST_CASE("the list as JSON has the same entries") {
  const FilledCache cli;
  const auto document = nlohmann::json::parse(cli.run({"cache", "list", "--json"}).out);
  CHECK(document["folder"] == cli.cache_folder());
  REQUIRE(document["entries"].size() == cli.entries);
  const std::vector<std::string> lines = lines_of(cli.run({"cache", "list"}).out);
  for (std::size_t i = 0; i < cli.entries; ++i) {
    const auto& entry = document["entries"][i];
    CHECK(entry["key"] == lines[i].substr(0, 32));
    CHECK(entry["sound"] == true);
    CHECK(contains(lines[i], entry["kernel"].get<std::string>()));
    CHECK(entry["arch"] == "sm_90");
    CHECK(contains(lines[i], entry["compiler"].get<std::string>()));
    CHECK(entry["bytes"] == fs::file_size(entry["path"].get<std::string>()));
  }
}

TEST_CASE("a damaged entry is reported, and pre-warming heals it and nothing else") {
  const FilledCache cli;
  const CommandResult sound = cli.run({"cache", "verify"});
  CHECK(sound.exit_code == 0);
  CHECK(sound.out == fmt::format("checked {}, damaged 0\n", cli.entries));

  const fs::path entry = cli.first_entry();
  cli.damage(entry);
  const CommandResult damaged = cli.run({"cache", "verify"});
  CHECK(damaged.exit_code == 1);
  CHECK(damaged.out.starts_with(entry.string() + "  damaged: "));
  CHECK(last_line(damaged.out) == fmt::format("checked {}, damaged 1", cli.entries));
  CHECK(contains(lines_of(cli.run({"cache", "list"}).out).front(), "  damaged: "));
  const auto listed = nlohmann::json::parse(cli.run({"cache", "list", "--json"}).out)["entries"][0];
  CHECK(listed["sound"] == false);
  CHECK(listed["problem"].get<std::string>().starts_with("damaged: "));

  CHECK(cli.prewarm() == fmt::format("compiled 1, cached {}, failed 0", cli.entries - 1));
  CHECK(cli.run({"cache", "verify"}).exit_code == 0);
}

TEST_CASE("clearing says how many files went, and leaves what is not the cache's") {
  const FilledCache cli;
  cli.folder.write("cache/notes.txt", "mine");
  const CommandResult first = cli.run({"cache", "clear"});
  CHECK(first.exit_code == 0);
  CHECK(first.out == fmt::format("files removed from {}: {}\n", cli.cache_folder(), cli.entries));
  CHECK(fs::exists(cli.folder / "cache/notes.txt"));
  CHECK(cli.run({"cache", "clear"}).out.ends_with(": 0\n"));
  CHECK(cli.prewarm() == fmt::format("compiled {}, cached 0, failed 0", cli.entries));
}

TEST_CASE("a folder that does not exist is an empty cache, and stays away") {
  const CommandLine cli;
  const CommandResult list = cli.run({"cache", "list"});
  CHECK(list.exit_code == 0);
  CHECK(list.out.empty());
  CHECK(list.err == "ropejit: no entries in " + cli.cache_folder() + "\n");
  CHECK(nlohmann::json::parse(cli.run({"cache", "list", "--json"}).out)["entries"].empty());
  CHECK(cli.run({"cache", "verify"}).out == "checked 0, damaged 0\n");
  CHECK(cli.run({"cache", "clear"}).out.ends_with(": 0\n"));
  CHECK_FALSE(fs::exists(cli.cache_folder()));
}

TEST_CASE("--cache-dir chooses the folder, and an empty one is refused") {
  const FilledCache cli;
  const std::string other = (cli.folder / "other").string();
  CHECK(cli.run({"cache", "verify", "--cache-dir", other}).out == "checked 0, damaged 0\n");
  const CommandResult empty = cli.run({"cache", "clear", "--cache-dir", ""});
  CHECK(empty.exit_code == 2);
  CHECK(cli.run({"cache", "verify"}).out == fmt::format("checked {}, damaged 0\n", cli.entries));
}

TEST_CASE("a folder that cannot be listed is the machine's fault") {
  const CommandLine cli;
  const std::string file = cli.folder.write("file", "not a folder");
  for (const std::string action : {"list", "verify", "clear"}) {
    const CommandResult result = cli.run({"cache", action, "--cache-dir", file});
    CHECK(result.exit_code == 3);
    CHECK(contains(result.err, file));
    CHECK(result.out.empty());
  }
}

}  // namespace ropejit
