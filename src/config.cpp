#include "ropejit/config.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "ropejit/error.h"
#include "src/text.h"

namespace ropejit {
namespace {

constexpr std::array<std::string_view, 2> kPairings = {"registers", "exchange"};

void require(bool holds, std::string_view field, int value, std::string_view rule) {
  if (holds) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("{} = {}: {}", field, value, rule));
}

}  // namespace

void validate(const LaunchConfig& config) {
  const int threads = config.block_threads;
  require(threads >= 32 && threads <= kMostBlockThreads && threads % 32 == 0, "block_threads",
          threads, fmt::format("must be a multiple of 32, from 32 to {}", kMostBlockThreads));
  const int bytes = config.access_bytes;
  require(bytes == 4 || bytes == 8 || bytes == 16 || bytes == 32, "access_bytes", bytes,
          "must be 4, 8, 16 or 32");
  const int heads = config.heads_per_thread;
  require(heads == 1 || heads == 2 || heads == 4, "heads_per_thread", heads, "must be 1, 2 or 4");
}

std::string_view name(Pairing value) noexcept { return kPairings[static_cast<std::size_t>(value)]; }

Pairing parse_pairing(std::string_view text, std::string_view field) {
  for (const Pairing value : {Pairing::registers, Pairing::exchange}) {
    if (text == name(value)) return value;
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{} = {}: must be {}", field, text, join_or(kPairings)));
}

std::string describe(const LaunchConfig& config) {
  return fmt::format("{} threads, {} bytes, {}, {} head{}{}", config.block_threads,
                     config.access_bytes, name(config.pairing), config.heads_per_thread,
                     config.heads_per_thread == 1 ? "" : "s",
                     config.streaming_stores ? ", streaming" : "");
}

}  // namespace ropejit
