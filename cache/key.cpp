#include "cache/key.h"

#include <cstddef>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ropejit {
namespace {

// Hashed first. Raise it when a key would otherwise keep its value although it means something
// else.
constexpr std::uint64_t kKeySchema = 1;

constexpr std::string_view kDigits = "0123456789abcdef";

void append_number(std::string& bytes, std::uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) {
    bytes.push_back(static_cast<char>(value >> shift & 0xff));
  }
}

void append_text(std::string& bytes, std::string_view text) {
  append_number(bytes, text.size());
  bytes.append(text);
}

void append_hex(std::string& text, std::uint64_t value) {
  for (int shift = 60; shift >= 0; shift -= 4) text.push_back(kDigits[value >> shift & 0xf]);
}

std::optional<std::uint64_t> parse_hex(std::string_view digits) noexcept {
  std::uint64_t value = 0;
  for (const char digit : digits) {
    const std::size_t index = kDigits.find(digit);
    if (index == std::string_view::npos) return std::nullopt;
    value = value << 4 | index;
  }
  return value;
}

}  // namespace

std::string Key::hex() const {
  std::string text;
  text.reserve(32);
  append_hex(text, high);
  append_hex(text, low);
  return text;
}

std::optional<Key> Key::from_hex(std::string_view text) noexcept {
  if (text.size() != 32) return std::nullopt;
  const std::optional<std::uint64_t> high = parse_hex(text.substr(0, 16));
  const std::optional<std::uint64_t> low = parse_hex(text.substr(16));
  if (!high || !low) return std::nullopt;
  return Key{*high, *low};
}

Key make_key(std::string_view source, std::span<const std::string> options, std::string_view arch) {
  std::string request;
  append_number(request, kKeySchema);
  append_text(request, source);
  append_number(request, options.size());
  for (const std::string& option : options) append_text(request, option);
  append_text(request, arch);
  const XXH128_hash_t digest = XXH3_128bits(request.data(), request.size());
  return Key{digest.high64, digest.low64};
}

}  // namespace ropejit
