#include "tests/cubin_facts.h"

#include <elf.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace ropejit {
namespace {

template <class T>
T read_at(std::span<const std::byte> bytes, std::size_t at) {
  if (at + sizeof(T) > bytes.size()) throw std::runtime_error("the cubin is cut off");
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::optional<Elf64_Shdr> find_section(std::span<const std::byte> cubin, std::string_view name) {
  const auto header = read_at<Elf64_Ehdr>(cubin, 0);
  const auto section_at = [&](std::size_t i) {
    return read_at<Elf64_Shdr>(cubin, header.e_shoff + i * header.e_shentsize);
  };
  const Elf64_Shdr names = section_at(header.e_shstrndx);
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr candidate = section_at(i);
    const auto* text =
        reinterpret_cast<const char*>(cubin.data()) + names.sh_offset + candidate.sh_name;
    if (text == name) return candidate;
  }
  return std::nullopt;
}

std::span<const std::byte> section(std::span<const std::byte> cubin, std::string_view name) {
  const std::optional<Elf64_Shdr> found = find_section(cubin, name);
  if (!found) return {};
  return cubin.subspan(found->sh_offset, found->sh_size);
}

}  // namespace

std::optional<unsigned> stack_bytes(std::span<const std::byte> cubin) {
  // Attributes: format, number, and either 16 bits of value or, in format 4, a length and as many
  // bytes: here the function's symbol and its frame size.
  constexpr std::uint8_t kWithLength = 4, kFrameSize = 0x11;
  const std::span<const std::byte> info = section(cubin, ".nv.info");
  std::optional<unsigned> most;
  for (std::size_t at = 0; at < info.size();) {
    const auto format = read_at<std::uint8_t>(info, at);
    const auto number = read_at<std::uint8_t>(info, at + 1);
    const auto length = format == kWithLength ? read_at<std::uint16_t>(info, at + 2) : 0;
    if (format == kWithLength && number == kFrameSize) {
      most = std::max(most.value_or(0), read_at<unsigned>(info, at + 8));
    }
    at += 4u + static_cast<std::size_t>(length);
  }
  return most;
}

bool has_variables(std::span<const std::byte> cubin) {
  return find_section(cubin, ".nv.global") || find_section(cubin, ".nv.global.init");
}

}  // namespace ropejit
