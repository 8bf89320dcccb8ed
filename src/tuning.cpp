#include "ropejit/tuning.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <vector>

#include "ropejit/error.h"
#include "src/text.h"

namespace ropejit {
namespace {

constexpr std::array<std::string_view, 4> kMatches = {"exact", "near_tokens", "near_spec",
                                                      "heuristic"};

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stopped == end && number >= 0;
}

bool read_capability(std::string_view text, DeviceClass& device_class) {
  const std::vector<std::string_view> parts = split(text, '.');
  return parts.size() == 2 && read_number(parts[0], device_class.major) &&
         read_number(parts[1], device_class.minor);
}

}  // namespace

std::string describe(const DeviceClass& device_class) {
  return fmt::format("{}.{},{},{}", device_class.major, device_class.minor, device_class.sm_count,
                     device_class.l2_bytes);
}

DeviceClass parse_device_class(std::string_view text, std::string_view field) {
  DeviceClass device_class;
  const std::vector<std::string_view> parts = split(text, ',');
  if (parts.size() == 3 && read_capability(parts[0], device_class) &&
      read_number(parts[1], device_class.sm_count) &&
      read_number(parts[2], device_class.l2_bytes)) {
    return device_class;
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{} = {}: must be compute capability, multiprocessors and bytes of L2 "
                          "cache, such as 9.0,132,62914560",
                          field, text));
}

std::string_view name(Match value) noexcept { return kMatches[static_cast<std::size_t>(value)]; }

}  // namespace ropejit
