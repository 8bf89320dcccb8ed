#ifndef ROPEJIT_SRC_ROUNDING_H_
#define ROPEJIT_SRC_ROUNDING_H_

#include <cstdint>

#include "ropejit/spec.h"

namespace ropejit {

/// The value of one element at `address`, exactly.
double load_element(Dtype dtype, const void* address) noexcept;

/// Stores `value` rounded once, to nearest with ties to even; NaN becomes a quiet NaN, and what is
/// too large becomes an infinity.
void store_element(Dtype dtype, void* address, double value) noexcept;

/// The distance between the two neighbouring numbers of the dtype that enclose `value` (unit in the
/// last place); for |value| below the smallest normal number, the smallest subnormal number.
double unit_in_last_place(Dtype dtype, double value) noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_SRC_ROUNDING_H_
