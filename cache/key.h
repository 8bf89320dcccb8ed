#ifndef ROPEJIT_CACHE_KEY_H_
#define ROPEJIT_CACHE_KEY_H_

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ropejit {

/// The name of a cache entry: a 128-bit digest of everything that the request for a cubin consists
/// of.
struct Key {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  /// 32 lower-case hexadecimal digits, the high half first: the entry's file name without `.cubin`.
  std::string hex() const;
  /// The inverse of hex(); nothing unless `text` is exactly 32 lower-case hexadecimal digits.
  static std::optional<Key> from_hex(std::string_view text) noexcept;

  auto operator<=>(const Key&) const = default;
};

/// XXH3-128 over the key schema number, the source's bytes, the number of options, each option, and
/// the architecture, every string preceded by its length (64 bits, little-endian): no two different
/// requests feed the hash the same bytes. The compiler's version is deliberately not part of it: a
/// machine without NVRTC can look a key up, and the entry says which version built it. Thread-safe.
Key make_key(std::string_view source, std::span<const std::string> options, std::string_view arch);

}  // namespace ropejit

#endif  // ROPEJIT_CACHE_KEY_H_
