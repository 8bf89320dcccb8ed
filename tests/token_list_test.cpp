#include "tools/token_list.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tools/exit_code.h"

namespace ropejit {
namespace {

using Tokens = std::vector<std::int64_t>;

std::string complaint(std::string_view text) {
  try {
    parse_token_list("--tokens", text);
  } catch (const Failure& failure) {
    CHECK(failure.code() == ExitCode::usage);
    return failure.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("token counts keep their order, each once") {
  CHECK(parse_token_list("--tokens", "8") == Tokens{8});
  CHECK(parse_token_list("--tokens", "512,1, 32 ,512") == Tokens{512, 1, 32});
  CHECK(parse_token_list("--tokens", "16777216") == Tokens{kMostListedTokens});
}

TEST_CASE("what is no token count is named, with the option and the rule") {
  CHECK(complaint("1,x8") ==
        "--tokens = 1,x8: `x8` is no token count; must be numbers from 1 to 16777216 that are "
        "separated by commas");
  for (const std::string text :
       {"", "1,", ",1", "0", "-1", "+1", "1.5", "8k", "1;2", "16777217", "99999999999999999999"}) {
    CAPTURE(text);
    CHECK(complaint(text).starts_with("--tokens = " + text + ": `"));
  }
}

}  // namespace ropejit
