#include "src/tuning_shipped.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "src/text.h"
#include "tests/json_schema.h"
#include "tests/tuning_fixture.h"

namespace ropejit {

/// tests/data/tuned/golden-v1.json, as the files of tuned/ are made part of the library.
std::span<const ShippedRun> golden_tuning() noexcept;

namespace {

namespace fs = std::filesystem;

const fs::path kTuned = fs::path(ROPEJIT_SOURCE_DIR) / "tuned";
const std::string kGolden = ROPEJIT_TEST_DATA "/tuned/golden-v1.json";

/// Holds runs that are part of a program against the file that they were made of.
void check_runs(std::span<const ShippedRun> runs, const std::string& path) {
  CAPTURE(path);
  const TuningFile file = load_tuning_file(path);
  REQUIRE(runs.size() == file.runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const TuningRun& run = file.runs[i];
    CHECK(runs[i].file == fs::path(path).filename().string());
    CHECK(runs[i].device_class == run.device_class);
    CHECK(std::equal(runs[i].aliases.begin(), runs[i].aliases.end(), run.aliases.begin(),
                     run.aliases.end()));
    CHECK(std::equal(runs[i].entries.begin(), runs[i].entries.end(), run.entries.begin(),
                     run.entries.end()));
  }
}

/// The files of tuned/ that are no schema, sorted.
std::vector<std::string> files_to_ship() {
  std::vector<std::string> files;
  for (const auto& item : fs::directory_iterator(kTuned)) {
    const fs::path& path = item.path();
    if (path.extension() == ".json" && path.filename() != "schema.json") files.push_back(path);
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("the golden file is what this version writes") {
  CHECK(read_text(kGolden) == to_json(varied_file()));
}

TEST_CASE("a file that is made part of a program says there what it says as a file") {
  check_runs(golden_tuning(), kGolden);
}

TEST_CASE("every file of tuned/ is part of the library, run by run") {
  std::span<const ShippedRun> rest = shipped_tuning();
  for (const std::string& path : files_to_ship()) {
    const std::size_t runs = load_tuning_file(path).runs.size();
    REQUIRE(rest.size() >= runs);
    check_runs(rest.first(runs), path);
    rest = rest.subspan(runs);
  }
  CHECK(rest.empty());
}

TEST_CASE("every file of tuned/ satisfies the schema and is as this version writes it") {
  const std::string schema = read_text((kTuned / "schema.json").string());
  for (const std::string& path : files_to_ship()) {
    CAPTURE(path);
    CHECK(schema_violations(schema, read_text(path)).empty());
    CHECK(to_json(load_tuning_file(path)) == read_text(path));
  }
}

TEST_CASE("every shipped config is one that kernels have, and no key is shipped twice") {
  TuningFile all;
  for (const ShippedRun& run : shipped_tuning()) {
    all.runs.push_back(run_on(run.device_class, {run.entries.begin(), run.entries.end()}));
    for (const TuningEntry& entry : run.entries) {
      CHECK_NOTHROW(validate(entry.chosen.config));
      CHECK((entry.chosen.config.access_bytes < 32 || run.device_class.major >= 10));
    }
  }
  CHECK_NOTHROW(parse_tuning_file(to_json(all), "all shipped files"));
}

}  // namespace ropejit
