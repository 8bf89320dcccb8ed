#include "ropejit/tuning.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/refusal.h"
#include "tests/tuning_fixture.h"

namespace ropejit {

TEST_CASE("a device class is written and read as capability, multiprocessors and L2 bytes") {
  CHECK(describe(kBig) == "9.0,132,62914560");
  CHECK(parse_device_class("9.0,132,62914560") == kBig);
  CHECK(parse_device_class(" 12.1 , 48 , 0 ") == DeviceClass{12, 1, 48, 0});
  CHECK(DeviceClass{12, 1, 48, 0}.arch() == "sm_121");
  CHECK(parse_device_class("9.0,132,5000000000").l2_bytes == 5000000000);
}

TEST_CASE("a text that is no device class is refused with an example") {
  CHECK(refusal([] { parse_device_class("H200", "--device-class"); }) ==
        "invalid_argument: --device-class = H200: must be compute capability, multiprocessors and "
        "bytes of L2 cache, such as 9.0,132,62914560");
  for (const char* text : {"", "9.0", "9.0,132", "9,132,62914560", "9.0,132,62914560,1",
                           "9.0,-132,62914560", "9.0,132,", "9.0,1e2,5", "9.0.0,132,5", ".0,132,5",
                           "9.0,99999999999,5", "9.0,132,99999999999999999999"}) {
    CAPTURE(text);
    CHECK(refusal([&] { parse_device_class(text); }).starts_with("invalid_argument: "));
  }
}

TEST_CASE("the qualities of a match are ordered, the best first, and have names") {
  CHECK(Match::exact < Match::near_tokens);
  CHECK(Match::near_tokens < Match::near_spec);
  CHECK(Match::near_spec < Match::heuristic);
  CHECK(name(Match::exact) == "exact");
  CHECK(name(Match::near_tokens) == "near_tokens");
  CHECK(name(Match::near_spec) == "near_spec");
  CHECK(name(Match::heuristic) == "heuristic");
}

}  // namespace ropejit
