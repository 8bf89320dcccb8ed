#ifndef ROPEJIT_SRC_EMBEDDED_TEMPLATES_H_
#define ROPEJIT_SRC_EMBEDDED_TEMPLATES_H_

#include <span>
#include <string_view>

namespace ropejit {

/// A file of templates/ as it was when the library was built, byte for byte.
struct EmbeddedTemplate {
  std::string_view name;  ///< the file's name without its folder: `rope.cu`
  std::string_view text;
};

/// All files of templates/, by name. Static storage; the build generates the definition.
std::span<const EmbeddedTemplate> embedded_templates() noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_SRC_EMBEDDED_TEMPLATES_H_
