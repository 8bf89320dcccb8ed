#include "src/tuning_distance.h"

#include <cmath>

namespace ropejit {
namespace {

double doublings(int a, int b) { return a == b ? 0 : std::abs(std::log2(a) - std::log2(b)); }

}  // namespace

std::optional<double> spec_distance(const SpecClass& a, const SpecClass& b) {
  if (a.layout != b.layout || size_of(a.dtype) != size_of(b.dtype)) return std::nullopt;
  return kHeadDimWeight * doublings(a.head_dim, b.head_dim) +
         kRotaryDimWeight * doublings(a.rotary_dim, b.rotary_dim) +
         kQHeadsWeight * doublings(a.q_heads, b.q_heads) +
         kKvHeadsWeight * doublings(a.kv_heads, b.kv_heads) +
         kAlignmentWeight * doublings(a.alignment, b.alignment) +
         (a.dtype == b.dtype ? 0 : kDtypePenalty) +
         (a.positions == b.positions ? 0 : kPositionsPenalty) +
         (a.angles == b.angles ? 0 : kAnglesPenalty);
}

}  // namespace ropejit
