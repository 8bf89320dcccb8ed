#include "src/replace_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "src/text.h"
#include "tests/refusal.h"
#include "tests/temporary_folder.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

long files_in(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

}  // namespace

TEST_CASE("a file is made or replaced whole, with its folders, and for others to read") {
  const TemporaryFolder folder;
  const std::string path = (folder / "a/b/file").string();
  replace_file(path, "first");
  CHECK(read_text(path) == "first");
  replace_file(path, "");
  CHECK(read_text(path).empty());
  CHECK(files_in(folder / "a/b") == 1);
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0644);
}

TEST_CASE("a file that cannot be replaced is left alone, and the reason is named") {
  const TemporaryFolder folder;
  const std::string path = (folder / "file").string();
  fs::create_directories(folder / "file/inside");
  CHECK(refusal([&] { replace_file(path, "text"); }) ==
        "io: " + path + ": cannot replace: Is a directory");
  CHECK(files_in(folder / ".") == 1);
  const std::string below = folder.write("plain", "text") + "/file";
  CHECK(refusal([&] { replace_file(below, "text"); }) ==
        "io: " + below + ": cannot create a file beside it: Not a directory");
}

}  // namespace ropejit
