#ifndef ROPEJIT_TOOLS_TOKEN_LIST_H_
#define ROPEJIT_TOOLS_TOKEN_LIST_H_

#include <cstdint>
#include <string_view>
#include <vector>

namespace ropejit {

/// The token counts that a call may have on the command line.
inline constexpr std::int64_t kMostListedTokens = std::int64_t{1} << 24;

/// Reads numbers from 1 to 2^24 that are separated by commas, such as `1,8,32`; of equal ones the
/// first is kept. Throws Failure(usage) that names `option`, the text and the rule.
std::vector<std::int64_t> parse_token_list(std::string_view option, std::string_view text);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TOKEN_LIST_H_
