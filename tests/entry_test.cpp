#include "cache/entry.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ropejit {
namespace {

constexpr std::size_t kTailBytes = 80;

Entry small_entry() {
  return Entry{.key = {0x0123456789abcdef, 0xfedcba9876543210},
               .kernel = "d128 sequential",
               .arch = "sm_90",
               .compiler = "NVRTC 13.0",
               .cubin = {std::byte{0x7f}, std::byte{'E'}, std::byte{'L'}, std::byte{'F'}}};
}

// The entry of tests/data/cache/golden-v1.entry, which a Python script assembled with struct and
// xxhash from the specification in cache/README.md.
Entry golden_entry() {
  Entry entry{.key = *Key::from_hex("369a84690a50fb09e477fe244512e16e"),
              .kernel = "d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16",
              .arch = "sm_90",
              .compiler = "NVRTC 13.0",
              .cubin = {std::byte{0x7f}, std::byte{'E'}, std::byte{'L'}, std::byte{'F'}}};
  for (int i = 0; i < 60; ++i) entry.cubin.push_back(static_cast<std::byte>(i));
  return entry;
}

Bytes read_golden() {
  const std::string path =
      std::string(ROPEJIT_TEST_DATA) + "/cache/golden-v" + std::to_string(kEntrySchema) + ".entry";
  std::ifstream stream(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  const auto raw = std::as_bytes(std::span(text));
  return Bytes(raw.begin(), raw.end());
}

void check_equal(const Entry& actual, const Entry& expected) {
  CHECK(actual.key == expected.key);
  CHECK(actual.kernel == expected.kernel);
  CHECK(actual.arch == expected.arch);
  CHECK(actual.compiler == expected.compiler);
  CHECK(actual.cubin == expected.cubin);
}

bool is_damage(std::span<const std::byte> file, const Key& key) {
  return std::holds_alternative<Damage>(decode(file, key));
}

std::string damage_reason(std::span<const std::byte> file, const Key& key) {
  const auto decoded = decode(file, key);
  const Damage* damage = std::get_if<Damage>(&decoded);
  return damage == nullptr ? "none" : damage->reason;
}

// Overwrites the digest at the end with the right one for the bytes before it.
void reseal(Bytes& file) {
  const XXH128_hash_t hash = XXH3_128bits(file.data(), file.size() - 16);
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  for (std::size_t i = 0; i < 16; ++i) file[file.size() - 16 + i] = std::byte{canonical.digest[i]};
}

void write_number(Bytes& file, std::size_t offset, std::uint64_t value) {
  for (std::size_t i = 0; i < 8; ++i) file[offset + i] = static_cast<std::byte>(value >> 8 * i);
}

TEST_CASE("the golden file of this schema is what encode writes and decode reads") {
  const Bytes golden = read_golden();
  REQUIRE(golden.size() == 221);
  CHECK(encode(golden_entry()) == golden);
  const auto decoded = decode(golden, golden_entry().key);
  REQUIRE(std::holds_alternative<Entry>(decoded));
  check_equal(std::get<Entry>(decoded), golden_entry());
}

TEST_CASE("an entry's file starts with the cubin and comes back as the same entry") {
  Entry entry = small_entry();
  for (const std::size_t size : {0U, 1U, 4U, 7000U}) {
    entry.cubin.assign(size, std::byte{0xa5});
    entry.kernel = std::string("zero\0byte", 9);
    const Bytes file = encode(entry);
    CHECK(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size)) == entry.cubin);
    const auto decoded = decode(file, entry.key);
    REQUIRE(std::holds_alternative<Entry>(decoded));
    check_equal(std::get<Entry>(decoded), entry);
  }
}

TEST_CASE("an entry with empty fields is valid") {
  const Bytes file = encode(Entry{});
  CHECK(file.size() == kTailBytes);
  CHECK_FALSE(is_damage(file, Key{}));
}

TEST_CASE("every change of a single byte is damage") {
  const Bytes file = encode(small_entry());
  for (std::size_t i = 0; i < file.size(); ++i) {
    for (unsigned mask = 1; mask < 256; ++mask) {
      Bytes changed = file;
      changed[i] ^= static_cast<std::byte>(mask);
      if (!is_damage(changed, small_entry().key)) FAIL("byte " << i << " xor " << mask);
    }
  }
  CHECK_FALSE(is_damage(file, small_entry().key));
}

TEST_CASE("every truncation, at either end, is damage") {
  const Bytes file = encode(small_entry());
  for (std::size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    CHECK(is_damage(std::span(file).first(size), small_entry().key));
    CHECK(is_damage(std::span(file).last(size), small_entry().key));
  }
}

TEST_CASE("an appended byte is damage, and so is a second entry after the first") {
  const Bytes file = encode(small_entry());
  for (int value = 0; value < 256; ++value) {
    Bytes longer = file;
    longer.push_back(static_cast<std::byte>(value));
    CHECK(is_damage(longer, small_entry().key));
  }
  Bytes twice = file;
  twice.insert(twice.end(), file.begin(), file.end());
  CHECK(is_damage(twice, small_entry().key));
}

TEST_CASE("a valid entry under another name is damage that names both keys") {
  const std::string reason = damage_reason(encode(small_entry()), Key{1, 2});
  CHECK(reason ==
        "other key: 0123456789abcdeffedcba9876543210 instead of 00000000000000010000000000000002");
}

TEST_CASE("damage says what is wrong") {
  const Key key = small_entry().key;
  const Bytes file = encode(small_entry());
  CHECK(damage_reason({}, key) == "truncated: 0 bytes, an entry has at least 80");
  CHECK(damage_reason(std::span(file).first(file.size() - 1), key) ==
        "no magic: truncated, appended to or not an entry");
  Bytes changed = file;
  changed[0] ^= std::byte{1};
  CHECK(damage_reason(changed, key) == "digest mismatch");
  changed = file;
  write_number(changed, changed.size() - 32, kEntrySchema + 1);
  reseal(changed);
  CHECK(damage_reason(changed, key) == "schema " + std::to_string(kEntrySchema + 1) +
                                           " instead of " + std::to_string(kEntrySchema));
}

TEST_CASE("lengths that lie are damage even under a right digest") {
  const Entry entry = small_entry();
  const Bytes file = encode(entry);
  const std::uint64_t total = file.size() - kTailBytes;
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  for (std::size_t field = 0; field < 4; ++field) {
    for (const std::uint64_t length : {most, most - 1, most / 2 + 1, total + 1, total, total - 1,
                                       std::uint64_t{0}, std::uint64_t{1}, most - total + 1}) {
      Bytes changed = file;
      write_number(changed, file.size() - kTailBytes + 8 * field, length);
      reseal(changed);
      CAPTURE(field);
      CAPTURE(length);
      CHECK(damage_reason(changed, entry.key) == "lengths do not add up");
    }
  }
  // Four lengths whose sum overflows to the right total.
  Bytes changed = file;
  const std::array<std::uint64_t, 4> lengths = {most / 2 + 1, most / 2 + 1, total, 0};
  for (std::size_t field = 0; field < 4; ++field) {
    write_number(changed, file.size() - kTailBytes + 8 * field, lengths[field]);
  }
  reseal(changed);
  CHECK(damage_reason(changed, entry.key) == "lengths do not add up");
}

TEST_CASE("random bytes, bare or around a valid tail, are damage") {
  std::mt19937 random(20240607);
  const Bytes valid = encode(small_entry());
  for (int round = 0; round < 20000; ++round) {
    Bytes file(random() % 300);
    for (std::byte& byte : file) byte = static_cast<std::byte>(random());
    if (round % 2 == 1) {
      // Magic, schema and digest are right; lengths and key are random.
      file.insert(file.end(), valid.end() - 32, valid.end());
      if (file.size() >= kTailBytes) reseal(file);
    }
    if (!is_damage(file, small_entry().key)) FAIL("round " << round);
  }
  CHECK_FALSE(is_damage(valid, small_entry().key));
}

}  // namespace
}  // namespace ropejit
