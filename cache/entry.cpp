#include "cache/entry.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ropejit {
namespace {

constexpr std::string_view kMagic = "ROPEJIT\n";
constexpr std::size_t kNumberBytes = 8;
constexpr std::size_t kDigestBytes = 16;
// Four lengths, the key, the schema, the magic and the digest: the end of every file.
constexpr std::size_t kTailBytes = 4 * kNumberBytes + 2 * kDigestBytes + 2 * kNumberBytes;

void append_number(Bytes& bytes, std::uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) {
    bytes.push_back(static_cast<std::byte>(value >> shift & 0xff));
  }
}

void append_text(Bytes& bytes, std::string_view text) {
  const auto raw = std::as_bytes(std::span(text));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

// Digests and keys stand in the order in which their hexadecimal digits are written.
void append_digest(Bytes& bytes, std::uint64_t high, std::uint64_t low) {
  for (const std::uint64_t half : {high, low}) {
    for (int shift = 56; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<std::byte>(half >> shift & 0xff));
    }
  }
}

// Takes fields off the front of a span that the caller has checked to be long enough.
std::span<const std::byte> take(std::span<const std::byte>& rest, std::size_t count) {
  const std::span<const std::byte> taken = rest.first(count);
  rest = rest.subspan(count);
  return taken;
}

std::string take_text(std::span<const std::byte>& rest, std::size_t count) {
  const std::span<const std::byte> taken = take(rest, count);
  return std::string(reinterpret_cast<const char*>(taken.data()), taken.size());
}

std::uint64_t take_number(std::span<const std::byte>& rest) {
  std::uint64_t value = 0;
  int shift = 0;
  for (const std::byte byte : take(rest, kNumberBytes)) {
    value |= std::to_integer<std::uint64_t>(byte) << shift;
    shift += 8;
  }
  return value;
}

std::uint64_t take_half_digest(std::span<const std::byte>& rest) {
  std::uint64_t value = 0;
  for (const std::byte byte : take(rest, kDigestBytes / 2)) {
    value = value << 8 | std::to_integer<std::uint64_t>(byte);
  }
  return value;
}

Key take_key(std::span<const std::byte>& rest) {
  const std::uint64_t high = take_half_digest(rest);
  return Key{high, take_half_digest(rest)};
}

struct Tail {
  // Of the cubin, the kernel, the architecture and the compiler.
  std::array<std::uint64_t, 4> lengths;
  Key key;
  std::uint64_t schema;
  std::string magic;
  Key digest;
};

Tail parse_tail(std::span<const std::byte> rest) {
  Tail tail;
  for (std::uint64_t& length : tail.lengths) length = take_number(rest);
  tail.key = take_key(rest);
  tail.schema = take_number(rest);
  tail.magic = take_text(rest, kMagic.size());
  tail.digest = take_key(rest);
  return tail;
}

// Whether the four lengths add up to `available`, found without a sum that could overflow.
bool lengths_fit(const Tail& tail, std::uint64_t available) {
  for (const std::uint64_t length : tail.lengths) {
    if (length > available) return false;
    available -= length;
  }
  return available == 0;
}

// Magic and schema come before the digest, so that a file of another kind or version is called what
// it is.
std::optional<Damage> find_damage(const Tail& tail, std::span<const std::byte> file,
                                  const Key& expected) {
  if (tail.magic != kMagic) return Damage{"no magic: truncated, appended to or not an entry"};
  if (tail.schema != kEntrySchema) {
    return Damage{"schema " + std::to_string(tail.schema) + " instead of " +
                  std::to_string(kEntrySchema)};
  }
  const XXH128_hash_t digest = XXH3_128bits(file.data(), file.size() - kDigestBytes);
  if (tail.digest != Key{digest.high64, digest.low64}) return Damage{"digest mismatch"};
  if (!lengths_fit(tail, file.size() - kTailBytes)) return Damage{"lengths do not add up"};
  if (tail.key != expected) {
    return Damage{"other key: " + tail.key.hex() + " instead of " + expected.hex()};
  }
  return std::nullopt;
}

}  // namespace

Bytes encode(const Entry& entry) {
  Bytes file;
  file.reserve(entry.cubin.size() + entry.kernel.size() + entry.arch.size() +
               entry.compiler.size() + kTailBytes);
  file = entry.cubin;
  append_text(file, entry.kernel);
  append_text(file, entry.arch);
  append_text(file, entry.compiler);
  append_number(file, entry.cubin.size());
  append_number(file, entry.kernel.size());
  append_number(file, entry.arch.size());
  append_number(file, entry.compiler.size());
  append_digest(file, entry.key.high, entry.key.low);
  append_number(file, kEntrySchema);
  append_text(file, kMagic);
  const XXH128_hash_t digest = XXH3_128bits(file.data(), file.size());
  append_digest(file, digest.high64, digest.low64);
  return file;
}

std::variant<Entry, Damage> decode(std::span<const std::byte> file, const Key& expected) {
  if (file.size() < kTailBytes) {
    return Damage{"truncated: " + std::to_string(file.size()) + " bytes, an entry has at least " +
                  std::to_string(kTailBytes)};
  }
  const Tail tail = parse_tail(file.last(kTailBytes));
  if (std::optional<Damage> damage = find_damage(tail, file, expected)) return *damage;
  std::span<const std::byte> rest = file;
  const std::span<const std::byte> cubin = take(rest, tail.lengths[0]);
  Entry entry;
  entry.key = tail.key;
  entry.cubin.assign(cubin.begin(), cubin.end());
  entry.kernel = take_text(rest, tail.lengths[1]);
  entry.arch = take_text(rest, tail.lengths[2]);
  entry.compiler = take_text(rest, tail.lengths[3]);
  return entry;
}

}  // namespace ropejit
