# cmake -DOUTPUT=<file.cpp> -P embed_templates.cmake -- <template>...
# Writes the definition of embedded_templates() (src/embedded_templates.h).
include("${CMAKE_CURRENT_LIST_DIR}/embed.cmake")
ropejit_files(files)

set(texts "")
set(entries "")
set(count 0)
foreach(file IN LISTS files)
  get_filename_component(name "${file}" NAME)
  file(READ "${file}" bytes HEX)
  ropejit_literal(literal "${bytes}")
  string(APPEND texts "// ${name}\nconstexpr char kText${count}[] =\n    ${literal};\n\n")
  string(APPEND entries
         "    {\"${name}\", {kText${count}, sizeof(kText${count}) - 1}},\n")
  math(EXPR count "${count} + 1")
endforeach()

file(WRITE "${OUTPUT}" "// Generated from templates/ by cmake/embed_templates.cmake.
#include \"src/embedded_templates.h\"

#include <array>

namespace ropejit {
namespace {

${texts}constexpr std::array<EmbeddedTemplate, ${count}> kTemplates = {{
${entries}}};

}  // namespace

std::span<const EmbeddedTemplate> embedded_templates() noexcept { return kTemplates; }

}  // namespace ropejit
")
