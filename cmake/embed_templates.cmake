# cmake -DOUTPUT=<file.cpp> -P embed_templates.cmake -- <template>...
# Writes the definition of embedded_templates() (src/embedded_templates.h). Every byte becomes a
# hexadecimal escape: no content of a template can end a literal early or be changed on the way.
set(files)
set(past_separator FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  if(past_separator)
    list(APPEND files "${CMAKE_ARGV${i}}")
  elseif(CMAKE_ARGV${i} STREQUAL "--")
    set(past_separator TRUE)
  endif()
endforeach()

set(texts "")
set(entries "")
set(count 0)
foreach(file IN LISTS files)
  get_filename_component(name "${file}" NAME)
  file(READ "${file}" bytes HEX)
  string(REGEX REPLACE "(..)" "\\\\x\\1" literal "${bytes}")
  string(REPLACE "\\x0a" "\\x0a\"\n    \"" literal "${literal}")  # a line here per template line
  string(APPEND texts "// ${name}\nconstexpr char kText${count}[] =\n    \"${literal}\";\n\n")
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
