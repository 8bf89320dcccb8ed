// Which tuned files a Runtime reads, and what it does about bad ones.

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "src/tuning_table.h"
#include "tests/refusal.h"
#include "tests/temporary_folder.h"
#include "tests/tuning_fixture.h"

namespace ropejit {
namespace {

constexpr LaunchConfig kUser{64, 16, Pairing::registers, 1, false};
constexpr LaunchConfig kSystem{256, 16, Pairing::registers, 1, false};
/// Of no device: what is shipped is not for it.
const DeviceClass kNone{9, 0, 1, 1};

/// Options with files in a folder of the test's own, and what was logged.
struct LoadFixture {
  LoadFixture() {
    options.default_tuned_file = (folder / "user.json").string();
    options.system_tuned_file = (folder / "system.json").string();
    options.log = [this](std::string_view line) { lines.emplace_back(line); };
  }
  std::string write(const std::string& name, const LaunchConfig& config) const {
    return folder.write(name, to_json(file_of({run_on(kNone, {entry(llama_spec(), 8, config)})})));
  }
  std::string file_taken() {
    return TuningTable::load(options).choose(llama_spec(), kNone, 8).file;
  }

  TemporaryFolder folder;
  RuntimeOptions options;
  std::vector<std::string> lines;
};

}  // namespace

TEST_CASE("without files there is what is shipped, and not a word") {
  LoadFixture f;
  CHECK(f.file_taken().empty());
  f.options.default_tuned_file.clear();
  f.options.system_tuned_file.clear();
  CHECK(TuningTable::load(f.options).device_classes().size() ==
        TuningTable({}, shipped_tuning()).device_classes().size());
  CHECK(f.lines.empty());
}

TEST_CASE("the user's file goes before the system's, and a named one takes its place") {
  LoadFixture f;
  f.write("system.json", kSystem);
  CHECK(f.file_taken() == f.options.system_tuned_file);
  f.write("user.json", kUser);
  CHECK(f.file_taken() == f.options.default_tuned_file);
  f.options.tuned_file = f.write("named.json", kUser);
  CHECK(f.file_taken() == f.options.tuned_file);
  f.options.tuned_file = f.folder.write("empty.json", to_json(TuningFile{}));
  CHECK(f.file_taken() == f.options.system_tuned_file);
  CHECK(f.lines.empty());
}

TEST_CASE("a file that was named must be there and parse") {
  LoadFixture f;
  f.options.tuned_file = (f.folder / "missing.json").string();
  CHECK(refusal([&] {
          f.file_taken();
        }).starts_with("io: " + f.options.tuned_file + ": cannot be read: "));
  f.options.tuned_file = f.folder.write("bad.json", "{\"schema\": 1,");
  CHECK(refusal([&] {
          f.file_taken();
        }).starts_with("invalid_argument: " + f.options.tuned_file + ": malformed JSON at line "));
  f.options.tuned_file = f.folder.write("new.json", "{\"schema\": 2}");
  CHECK(refusal([&] {
          f.file_taken();
        }).starts_with("invalid_argument: " + f.options.tuned_file + ": schema = 2"));
}

TEST_CASE("a bad file in a usual place is passed over, with one line each that names it") {
  LoadFixture f;
  f.write("system.json", kSystem);
  f.folder.write("user.json", "no JSON");
  CHECK(f.file_taken() == f.options.system_tuned_file);
  REQUIRE(f.lines.size() == 1);
  CHECK(f.lines[0].starts_with("tuned file ignored: " + f.options.default_tuned_file + ": "));
  CHECK(f.lines[0].find('\n') == std::string::npos);

  f.folder.write("system.json", "[]");
  CHECK(f.file_taken().empty());
  REQUIRE(f.lines.size() == 3);
  CHECK(f.lines[2] ==
        "tuned file ignored: " + f.options.system_tuned_file + ": []: must be an object");
  f.options.log = nullptr;
  CHECK(f.file_taken().empty());
}

TEST_CASE("a folder or a pipe in a usual place is passed over, and not waited for") {
  LoadFixture f;
  std::filesystem::create_directories(f.options.default_tuned_file);
  REQUIRE(::mkfifo(f.options.system_tuned_file.c_str(), 0600) == 0);
  CHECK(f.file_taken().empty());
  REQUIRE(f.lines.size() == 2);
  CHECK(f.lines[0] ==
        "tuned file ignored: " + f.options.default_tuned_file + ": is not a regular file");
  CHECK(f.lines[1] ==
        "tuned file ignored: " + f.options.system_tuned_file + ": is not a regular file");
}

}  // namespace ropejit
