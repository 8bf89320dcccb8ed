#include "src/tuning_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "src/text.h"
#include "tests/json_schema.h"
#include "tests/refusal.h"
#include "tests/temporary_folder.h"
#include "tests/tuning_fixture.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::string kSchema = read_text(ROPEJIT_SOURCE_DIR "/tuned/schema.json");

/// What the reader says to the varied file after `change`.
std::string complaint(const std::function<void(json&)>& change) {
  json document = json::parse(to_json(varied_file()));
  change(document);
  return refusal([&] { parse_tuning_file(document.dump(), "a.json"); });
}

json& entry_of(json& document) { return document["runs"][0]["specs"][0]["entries"][0]; }

}  // namespace

TEST_CASE("a spec's class is what decides its speed, in canonical form") {
  RopeSpec spec = llama_spec();
  const SpecClass reference = spec_class(spec);
  CHECK(describe(reference) == "d128 r128 bfloat16 sequential q32 kv8 offset exact a16");
  CHECK(spec_of(reference) == spec);
  spec.rotary_dim = 0;
  spec.direction = Direction::inverse;
  spec.index_type = IndexType::int64;
  CHECK(spec_class(spec) == reference);
  spec.head_dim = 92;  // 184 bytes: no multiple of 16
  CHECK(spec_class(spec).alignment == 8);
  CHECK(spec_class(spec).rotary_dim == 92);
}

TEST_CASE("what is written is read back, and written again as the same bytes") {
  const TuningFile file = varied_file();
  const std::string text = to_json(file);
  CHECK(parse_tuning_file(text, "a.json") == file);
  CHECK(to_json(parse_tuning_file(text, "a.json")) == text);
  CHECK(parse_tuning_file(to_json(TuningFile{}), "a.json") == TuningFile{});
}

TEST_CASE("entries are written by spec and token count, whatever their order") {
  TuningFile file = varied_file();
  const std::string text = to_json(file);
  std::reverse(file.runs[0].entries.begin(), file.runs[0].entries.end());
  CHECK(to_json(file) == text);
}

TEST_CASE("times are written to five digits") {
  TuningFile file = file_of({run_on(kBig, {entry(llama_spec(), 1, {})})});
  file.runs[0].entries[0].chosen = {{}, 1.23456789, 1.2345111, 123456789};
  const TuningEntry read = parse_tuning_file(to_json(file), "a.json").runs[0].entries[0];
  CHECK(read.chosen == MeasuredConfig{{}, 1.2346, 1.2345, 1.2346e8});
}

TEST_CASE("what is written satisfies the schema") {
  CHECK(schema_violations(kSchema, to_json(varied_file())).empty());
  CHECK(schema_violations(kSchema, to_json(TuningFile{})).empty());
}

TEST_CASE("the file that the documentation shows is one, and satisfies the schema") {
  const std::string text = read_text(ROPEJIT_SOURCE_DIR "/docs/tuning.md");
  const std::string fence = "```json\n";
  const std::size_t start = text.find(fence) + fence.size();
  const std::string shown = text.substr(start, text.find("```", start) - start);
  CHECK(schema_violations(kSchema, shown).empty());
  const TuningFile file = parse_tuning_file(shown, "docs/tuning.md");
  REQUIRE(file.runs.size() == 1);
  CHECK(file.runs[0].device_class == kBig);
  CHECK(file.runs[0].entries.size() == 1);
}

TEST_CASE("whatever member is missing or of another type, schema and reader refuse it") {
  int members = 0;
  const json good = json::parse(to_json(varied_file()));
  const auto refused = [&](const json& document) {
    CAPTURE(document.dump());
    CHECK_FALSE(schema_violations(kSchema, document.dump()).empty());
    CHECK(refusal([&] {
            parse_tuning_file(document.dump(), "a.json");
          }).starts_with("invalid_argument: a.json: "));
    ++members;
  };
  const std::function<void(const json::json_pointer&)> visit = [&](const auto& place) {
    const json& node = good.at(place);
    for (const auto& [key, member] : node.items()) {
      const json::json_pointer below =
          node.is_array() ? place / static_cast<std::size_t>(std::stoul(key)) : place / key;
      if (node.is_object() && key != "default") {
        json without = good;
        without[place].erase(key);
        refused(without);
      }
      json other = good;
      other[below] = member.is_object() ? json("text") : json(json::object());
      refused(other);
      if (member.is_structured()) visit(below);
    }
  };
  visit(json::json_pointer());
  CHECK(members > 200);
}

TEST_CASE("an unknown key is refused with the nearest known one, at every level") {
  const auto add = [](json& object, const char* key) { object[key] = 1; };
  CHECK(complaint([&](json& d) { add(d, "rusn"); }) ==
        "invalid_argument: a.json: \"rusn\": unknown key; nearest known: runs");
  CHECK(complaint([&](json& d) { add(d["runs"][1], "alias"); }) ==
        "invalid_argument: a.json: runs[1]: \"alias\": unknown key; nearest known: aliases");
  CHECK(complaint([&](json& d) { add(d["runs"][0]["device_class"], "sm_counts"); }) ==
        "invalid_argument: a.json: runs[0].device_class: \"sm_counts\": unknown key; nearest "
        "known: sm_count");
  CHECK(complaint([&](json& d) { add(d["runs"][0]["provenance"], "comand"); }) ==
        "invalid_argument: a.json: runs[0].provenance: \"comand\": unknown key; nearest known: "
        "command");
  CHECK(complaint([&](json& d) { add(d["runs"][0]["specs"][0]["spec"], "direction"); })
            .starts_with("invalid_argument: a.json: runs[0].specs[0].spec: \"direction\": "
                         "unknown key; nearest known: "));
  CHECK(complaint([&](json& d) { add(entry_of(d), "token"); }) ==
        "invalid_argument: a.json: runs[0].specs[0].entries[0]: \"token\": unknown key; nearest "
        "known: tokens");
  CHECK(complaint([&](json& d) { add(entry_of(d)["chosen"]["config"], "access_byte"); }) ==
        "invalid_argument: a.json: runs[0].specs[0].entries[0].chosen.config: \"access_byte\": "
        "unknown key; nearest known: access_bytes");
}

TEST_CASE("a value that breaks its rule is refused by place, value and rule") {
  CHECK(complaint([](json& d) { entry_of(d)["tokens"] = 3; }) ==
        "invalid_argument: a.json: runs[0].specs[0].entries[0].tokens = 3: must be a power of two "
        "from 1 to 2097152");
  for (const std::int64_t tokens : {0, -1, 4194304, 2097153}) {
    CHECK(complaint([&](json& d) { entry_of(d)["tokens"] = tokens; }) != "accepted");
  }
  CHECK(complaint([](json& d) { entry_of(d)["samples"] = 0; }) ==
        "invalid_argument: a.json: runs[0].specs[0].entries[0].samples = 0: must be at least 1");
  CHECK(complaint([](json& d) { entry_of(d)["chosen"]["low"] = 0; }) ==
        "invalid_argument: a.json: runs[0].specs[0].entries[0].chosen.low = 0: must be above 0");
  CHECK(complaint([](json& d) {
          entry_of(d)["chosen"]["low"] = 1e9;
        }).find(".chosen.us = 123450.0: must be within low and high, ") != std::string::npos);
  CHECK(complaint([](json& d) { entry_of(d)["chosen"]["us"] = 1e9; }) != "accepted");
  CHECK(complaint([](json& d) { d["runs"][0]["provenance"]["date"] = "31.1.2026"; }) ==
        "invalid_argument: a.json: runs[0].provenance.date = \"31.1.2026\": must be a time of UTC "
        "such as 2026-01-31T12:00:00Z");
  CHECK(complaint([](json& d) {
          d["runs"][0]["specs"][0]["spec"]["head_dim"] = 97;
        }).starts_with("invalid_argument: a.json: runs[0].specs[0].spec: head_dim = 97"));
  CHECK(complaint([](json& d) { d["runs"][0]["specs"][0]["spec"]["rotary_dim"] = 0; }) !=
        "accepted");
  CHECK(complaint([](json& d) {
          d["runs"][0]["specs"][0]["spec"]["layout"] = "diagonal";
        }).starts_with("invalid_argument: a.json: runs[0].specs[0].spec.layout = diagonal"));
  CHECK(complaint([](json& d) { entry_of(d)["chosen"]["config"]["pairing"] = "marriage"; }) ==
        "invalid_argument: a.json: runs[0].specs[0].entries[0].chosen.config.pairing = marriage: "
        "must be registers or exchange");
  CHECK(complaint([](json& d) { d["runs"][0]["device_class"]["sm_count"] = 0; }) ==
        "invalid_argument: a.json: runs[0].device_class.sm_count = 0: must be at least 1");
  CHECK(complaint([](json& d) { d["runs"][0]["aliases"][0] = ""; }) ==
        "invalid_argument: a.json: runs[0].aliases[0] = \"\": must not be empty");
}

TEST_CASE("another schema is refused before anything else is looked at") {
  CHECK(complaint([](json& d) {
          d = {{"schema", 2}, {"sections", 1}};
        }) ==
        "invalid_argument: a.json: schema = 2: must be 1, which this version of ropejit reads");
  CHECK(complaint([](json& d) { d.erase("schema"); }) ==
        "invalid_argument: a.json: schema: missing; a tuned file must have it");
}

TEST_CASE("the same spec and token count twice on one class of devices is refused") {
  CHECK(complaint([](json& d) { d["runs"].push_back(d["runs"][0]); }) ==
        "invalid_argument: a.json: runs[2].specs[0].entries[0]: "
        "runs[0].specs[0].entries[0] has this device class, spec and token count as well");
}

TEST_CASE("a config that no kernel has is read as it stands") {
  CHECK(complaint([](json& d) { entry_of(d)["chosen"]["config"]["block_threads"] = -7; }) ==
        "accepted");
}

TEST_CASE("a file that is cut short anywhere is refused") {
  const std::string text = to_json(varied_file());
  for (std::size_t length = 0; length + 2 < text.size(); ++length) {
    const std::string error = refusal([&] { parse_tuning_file(text.substr(0, length), "a.json"); });
    if (!error.starts_with("invalid_argument: a.json: malformed JSON")) FAIL_CHECK(error);
  }
}

TEST_CASE("a file is saved as a whole, in a folder that is made") {
  const TemporaryFolder folder;
  const std::string path = (folder / "new/folder/tuned.json").string();
  save_tuning_file(path, varied_file());
  CHECK(load_tuning_file(path) == varied_file());
  save_tuning_file(path, TuningFile{});
  CHECK(load_tuning_file(path) == TuningFile{});
  CHECK(std::distance(fs::directory_iterator(folder / "new/folder"), {}) == 1);
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0644);
}

TEST_CASE("what could not be read back is not saved, and the old file stays") {
  const TemporaryFolder folder;
  const std::string path = (folder / "tuned.json").string();
  save_tuning_file(path, varied_file());
  TuningFile bad = varied_file();
  SUBCASE("a config that no kernel has") {
    bad.runs[0].entries[0].chosen.config.block_threads = 33;
    CHECK(refusal([&] { save_tuning_file(path, bad); }) ==
          "invalid_argument: " + path + ": " + describe(bad.runs[0].entries[0].spec) +
              ", 2097152 tokens: block_threads = 33: must be a multiple of 32, from 32 to 512");
  }
  SUBCASE("a default config that no kernel has") {
    bad.runs[1].entries[0].baseline->config.access_bytes = 5;
    CHECK(refusal([&] { save_tuning_file(path, bad); }) != "accepted");
  }
  SUBCASE("a time that is none") {
    bad.runs[0].entries[0].chosen.us = -1;
    CHECK(refusal([&] { save_tuning_file(path, bad); }) != "accepted");
  }
  SUBCASE("a time beyond all numbers") {
    bad.runs[0].entries[0].chosen.high = HUGE_VAL;
    CHECK(refusal([&] {
            save_tuning_file(path, bad);
          }).starts_with("invalid_argument: " + path + ": malformed JSON"));
  }
  SUBCASE("an entry twice") {
    bad.runs.push_back(bad.runs[0]);
    CHECK(refusal([&] { save_tuning_file(path, bad); }) != "accepted");
  }
  CHECK(load_tuning_file(path) == varied_file());
  CHECK(std::distance(fs::directory_iterator(folder / "."), {}) == 1);
}

TEST_CASE("a path that cannot be read or written is an error that names it") {
  const TemporaryFolder folder;
  const std::string missing = (folder / "missing.json").string();
  CHECK(refusal([&] {
          load_tuning_file(missing);
        }).starts_with("io: " + missing + ": cannot be read: "));
  const std::string blocked = folder.write("file", "no folder") + "/tuned.json";
  CHECK(refusal([&] { save_tuning_file(blocked, {}); }) ==
        "io: " + blocked + ": cannot create a file beside it: Not a directory");
  fs::create_directories(folder / "a folder/inhabited");
  const std::string taken = (folder / "a folder").string();
  CHECK(refusal([&] {
          save_tuning_file(taken, {});
        }).starts_with("io: " + taken + ": cannot replace: "));
}

}  // namespace ropejit
