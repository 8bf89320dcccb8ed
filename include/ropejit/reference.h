#ifndef ROPEJIT_REFERENCE_H_
#define ROPEJIT_REFERENCE_H_

#include <cstdint>

#include "ropejit/args.h"
#include "ropejit/frequencies.h"
#include "ropejit/spec.h"

namespace ropejit {

/// The call that `spec` and `args` describe, on the CPU: every pointer of `args` is host memory.
/// Angles, products and sums are double; each result is rounded once to the dtype (to nearest, ties
/// to even). It is the oracle of the tests, and what a caller without a GPU may choose.
/// Single-threaded; tens of nanoseconds per pair. Allocates memory in proportion to the tokens.
/// Throws Error(invalid_argument) as Rope::apply does, before touching anything. Thread-safe.
void apply_reference(const RopeSpec& spec, const Frequencies& frequencies, const RopeArgs& args);

/// Cosine and sine in double, within 1e-15 plus the frequency's own rounding (see
/// Frequencies::turns).
struct CosSin {
  double cos;
  double sin;
};

/// Of the angle 2π · position · turns · 2^-64, for any position.
CosSin exact_cos_sin(std::uint64_t turns, std::int64_t position) noexcept;

/// What apply_reference multiplies pair `pair` of a token at `position` with: from the frequencies
/// or from the table (NaN outside it), times the attention factor, the sine negated for
/// Direction::inverse.
CosSin pair_cos_sin(const RopeSpec& spec, const Frequencies& frequencies, const CosSinTable& table,
                    std::int64_t position, int pair) noexcept;

/// Throws Error(invalid_argument) unless `frequencies` fit `spec`: rotary_dim/2 turns with
/// AngleSource::exact, none or as many with AngleSource::table; a finite attention factor above 0.
void validate(const RopeSpec& spec, const Frequencies& frequencies);

}  // namespace ropejit

#endif  // ROPEJIT_REFERENCE_H_
