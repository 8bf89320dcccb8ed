#include "src/tuning_distance.h"

#include <bit>
#include <cmath>

namespace ropejit {
namespace {

/// The widest access, of up to 16 bytes, that heads allow, and halves that pair with each other,
/// wherever the first of them begins.
int access_bytes(const SpecClass& spec) {
  const int bytes = static_cast<int>(size_of(spec.dtype));
  const int halves = spec.layout == Layout::sequential ? 2 : 1;
  const int lengths = spec.head_dim * bytes | spec.rotary_dim / halves * bytes;
  return 1 << std::countr_zero(static_cast<unsigned>(lengths | 16));
}

double doublings(int a, int b) { return a == b ? 0 : std::abs(std::log2(a) - std::log2(b)); }

}  // namespace

std::optional<double> spec_distance(const SpecClass& a, const SpecClass& b) {
  if (a.layout != b.layout || size_of(a.dtype) != size_of(b.dtype)) return std::nullopt;
  if (a.angles != b.angles || access_bytes(a) != access_bytes(b)) return std::nullopt;
  return kHeadDimWeight * doublings(a.head_dim, b.head_dim) +
         kRotaryDimWeight * doublings(a.rotary_dim, b.rotary_dim) +
         kQHeadsWeight * doublings(a.q_heads, b.q_heads) +
         kKvHeadsWeight * doublings(a.kv_heads, b.kv_heads) +
         kAlignmentWeight * doublings(a.alignment, b.alignment) +
         (a.dtype == b.dtype ? 0 : kDtypePenalty) +
         (a.positions == b.positions ? 0 : kPositionsPenalty);
}

}  // namespace ropejit
