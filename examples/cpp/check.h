#ifndef CHECK_H_
#define CHECK_H_

#include <ropejit/spec.h>

#include <cstddef>
#include <cstdint>
#include <vector>

using Bfloat16 = std::uint16_t;  // its bits: the upper half of a float32's
float to_float(Bfloat16 value);
std::vector<Bfloat16> random_values(std::size_t count);

/// How far `after` is from `before` turned to `position`, computed here in double: the largest
/// error of a head's elements, in units of what README.md promises. Above 1, or infinite: wrong.
double worst_error(const ropejit::RopeSpec& spec, double theta, const Bfloat16* before,
                   const Bfloat16* after, std::int64_t position);

#endif  // CHECK_H_
