#include "src/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <numeric>
#include <system_error>

#include "ropejit/error.h"

namespace ropejit {
namespace {

/// Levenshtein's distance, with the one row of the table that the next row needs.
std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string_view nearest(std::string_view text, std::span<const std::string_view> known) {
  const auto best = std::min_element(
      known.begin(), known.end(), [&](std::string_view left, std::string_view right) {
        return edit_distance(text, left) < edit_distance(text, right);
      });
  return best == known.end() ? std::string_view{} : *best;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  std::size_t end = 0;
  while ((end = text.find(separator)) != std::string_view::npos) {
    pieces.push_back(trim(text.substr(0, end)));
    text.remove_prefix(end + 1);
  }
  pieces.push_back(trim(text));
  return pieces;
}

std::string join_or(std::span<const std::string_view> words) {
  if (words.size() < 2) return std::string(words.empty() ? "" : words[0]);
  const std::size_t last = words.size() - 1;
  return fmt::format("{} or {}", fmt::join(words.first(last), ", "), words[last]);
}

std::string read_text(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 1 << 14> chunk;
  while (file.read(chunk.data(), chunk.size()), file.gcount() > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (!file.eof()) {  // not opened, or a read failed: a folder opens and fails at the first read
    throw Error(ErrorCode::io, fmt::format("{}: cannot be read: {}", path,
                                           std::generic_category().message(errno)));
  }
  return text;
}

}  // namespace ropejit
