#include "tools/tune_measurer.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "ropejit/error.h"
#include "src/text.h"

namespace ropejit {
namespace {

constexpr std::array<std::string_view, 4> kVerdicts = {"correct", "compile", "correctness",
                                                       "runtime"};

}  // namespace

double CallTimes::combined_us() const noexcept { return std::sqrt(out_of_place_us * in_place_us); }

std::string_view name(Verdict verdict) noexcept {
  return kVerdicts[static_cast<std::size_t>(verdict)];
}

Verdict parse_verdict(std::string_view text, std::string_view field) {
  for (std::size_t i = 0; i < kVerdicts.size(); ++i) {
    if (text == kVerdicts[i]) return static_cast<Verdict>(i);
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{} = {}: must be {}", field, text, join_or(kVerdicts)));
}

}  // namespace ropejit
