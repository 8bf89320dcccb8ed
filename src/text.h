#ifndef ROPEJIT_SRC_TEXT_H_
#define ROPEJIT_SRC_TEXT_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ropejit {

/// The entry of `known` that `text` was probably meant to be: the one at the least edit distance
/// (insert, delete or replace one character), the first of equals; empty if `known` is.
std::string_view nearest(std::string_view text, std::span<const std::string_view> known);

/// `text` without the spaces, tabs and line ends around it.
std::string_view trim(std::string_view text);

/// `text` cut at every `separator`, each piece trimmed: one piece more than there are separators.
std::vector<std::string_view> split(std::string_view text, char separator);

/// `a`, `a or b`, `a, b or c`: the accepted values in a message.
std::string join_or(std::span<const std::string_view> words);

/// The whole file; Error(io) that names the path and the reason.
std::string read_text(const std::string& path);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_TEXT_H_
