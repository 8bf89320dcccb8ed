#include "tools/token_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "src/text.h"
#include "tools/exit_code.h"

namespace ropejit {

std::vector<std::int64_t> parse_token_list(std::string_view option, std::string_view text) {
  std::vector<std::int64_t> tokens;
  for (const std::string_view word : split(text, ',')) {
    std::int64_t count = 0;
    const char* end = word.data() + word.size();
    const auto [stopped, error] = std::from_chars(word.data(), end, count);
    const bool is_number = error == std::errc() && stopped == end;
    if (!is_number || count < 1 || count > kMostListedTokens) {
      throw Failure(
          ExitCode::usage,
          fmt::format("{} = {}: `{}` is no token count; must be numbers from 1 to {} that "
                      "are separated by commas",
                      option, text, word, kMostListedTokens));
    }
    if (std::find(tokens.begin(), tokens.end(), count) == tokens.end()) tokens.push_back(count);
  }
  return tokens;
}

}  // namespace ropejit
