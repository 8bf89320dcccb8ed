#include "cache/key.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

namespace ropejit {
namespace {

using Options = std::vector<std::string>;

const std::string kSource = "extern \"C\" __global__ void rope() {}\n";
const Options kOptions = {"--gpu-architecture=sm_90", "-O3"};

TEST_CASE("a key is the XXH3-128 digest of the documented bytes") {
  // Computed with Python's xxhash over bytes assembled by hand:
  //   n = lambda v: struct.pack('<Q', v)
  //   s = lambda b: n(len(b)) + b
  //   xxhash.xxh3_128_hexdigest(n(1) + s(b'extern "C" __global__ void rope() {}\n') + n(2) +
  //                             s(b'--gpu-architecture=sm_90') + s(b'-O3') + s(b'sm_90'))
  CHECK(make_key(kSource, kOptions, "sm_90").hex() == "369a84690a50fb09e477fe244512e16e");
  //   xxhash.xxh3_128_hexdigest(n(1) + n(0) + n(0) + n(0))
  CHECK(make_key("", {}, "").hex() == "4a679b01e5e1d78209daa6f9bc42cae9");
}

TEST_CASE("changing any one byte of a request changes the key") {
  std::set<Key> keys = {make_key(kSource, kOptions, "sm_90")};
  std::size_t requests = 1;
  for (std::size_t i = 0; i < kSource.size(); ++i, ++requests) {
    std::string source = kSource;
    source[i] = static_cast<char>(source[i] ^ 1);
    keys.insert(make_key(source, kOptions, "sm_90"));
  }
  for (std::size_t option = 0; option < kOptions.size(); ++option) {
    for (std::size_t i = 0; i < kOptions[option].size(); ++i, ++requests) {
      Options options = kOptions;
      options[option][i] = static_cast<char>(options[option][i] ^ 1);
      keys.insert(make_key(kSource, options, "sm_90"));
    }
  }
  for (std::size_t i = 0; i < 5; ++i, ++requests) {
    std::string arch = "sm_90";
    arch[i] = static_cast<char>(arch[i] ^ 1);
    keys.insert(make_key(kSource, kOptions, arch));
  }
  CHECK(keys.size() == requests);
}

TEST_CASE("requests whose fields join to the same text have different keys") {
  const std::vector<Key> keys = {
      make_key("ab", Options{"cd", "ef"}, "gh"),
      make_key("a", Options{"bcd", "ef"}, "gh"),
      make_key("abc", Options{"d", "ef"}, "gh"),
      make_key("ab", Options{"c", "def"}, "gh"),
      make_key("ab", Options{"cde", "f"}, "gh"),
      make_key("ab", Options{"cdef"}, "gh"),
      make_key("ab", Options{"cdef", ""}, "gh"),
      make_key("ab", Options{"", "cdef"}, "gh"),
      make_key("ab", Options{"cd", "e"}, "fgh"),
      make_key("ab", Options{"cd", "efg"}, "h"),
      make_key("ab", Options{"cd", "ef", "gh"}, ""),
      make_key("", Options{"ab", "cd", "ef"}, "gh"),
      make_key("abcdefgh", {}, ""),
      make_key("", {}, "abcdefgh"),
  };
  CHECK(std::set<Key>(keys.begin(), keys.end()).size() == keys.size());
}

TEST_CASE("the order of the options and zero bytes count") {
  const Key key = make_key("a", Options{"b", "c"}, "d");
  CHECK(key != make_key("a", Options{"c", "b"}, "d"));
  CHECK(key != make_key(std::string("a\0", 2), Options{"b", "c"}, "d"));
  CHECK(key == make_key("a", Options{"b", "c"}, "d"));
}

TEST_CASE("a key's text is 32 lower-case digits, the high half first, and reads back") {
  CHECK(Key{}.hex() == "00000000000000000000000000000000");
  const Key key{0x0123456789abcdef, 0xfedcba9876543210};
  CHECK(key.hex() == "0123456789abcdeffedcba9876543210");
  CHECK(Key::from_hex(key.hex()) == key);
  CHECK(Key::from_hex("000000000000000000000000000000ff") == Key{0, 255});
}

TEST_CASE("text that is not exactly 32 lower-case hexadecimal digits is no key") {
  const std::string good = "0123456789abcdeffedcba9876543210";
  REQUIRE(Key::from_hex(good));
  CHECK_FALSE(Key::from_hex(""));
  CHECK_FALSE(Key::from_hex(good.substr(1)));
  CHECK_FALSE(Key::from_hex(good + "0"));
  for (const char bad : {'A', 'F', 'g', ' ', '-', '+', 'x', '/', ':', '`', '\0', '\n'}) {
    for (std::size_t i = 0; i < good.size(); ++i) {
      std::string text = good;
      text[i] = bad;
      CHECK_FALSE(Key::from_hex(text));
    }
  }
}

}  // namespace
}  // namespace ropejit
