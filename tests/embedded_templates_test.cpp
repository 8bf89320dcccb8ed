#include "src/embedded_templates.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace ropejit {
namespace {

const std::filesystem::path kTemplates = std::filesystem::path(ROPEJIT_SOURCE_DIR) / "templates";

std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

TEST_CASE("every embedded template is its file in templates/, byte for byte") {
  for (const EmbeddedTemplate& entry : embedded_templates()) {
    CAPTURE(entry.name);
    REQUIRE(std::filesystem::exists(kTemplates / entry.name));
    CHECK(entry.text == read(kTemplates / entry.name));
  }
}

TEST_CASE("every CUDA file in templates/ is embedded, once") {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kTemplates)) {
    const auto extension = entry.path().extension();
    if (extension == ".cu" || extension == ".cuh") ++files;
  }
  CHECK(files > 0);
  CHECK(embedded_templates().size() == files);
}

}  // namespace
}  // namespace ropejit
