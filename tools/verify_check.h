#ifndef ROPEJIT_TOOLS_VERIFY_CHECK_H_
#define ROPEJIT_TOOLS_VERIFY_CHECK_H_

#include <string>

#include "tools/case_memory.h"
#include "tools/verify_case.h"

namespace ropejit {

/// The error that a component of a rotated pair may have, for a pair of norm n = √(x² + y²) times
/// the attention factor: float32 4e-7·n; 16-bit types half a unit in the last place of the exact
/// result plus 2e-6·n.
struct ErrorBound {
  double rounding;    ///< of the result: half a unit in the last place, or 0 for float32
  double arithmetic;  ///< 4e-7·n or 2e-6·n

  double total() const noexcept { return rounding + arithmetic; }
};
ErrorBound error_bound(Dtype dtype, double exact, double norm) noexcept;

/// What a check found.
struct Check {
  /// The largest error, what rounding may do subtracted, as a fraction of what arithmetic may do:
  /// at most 1 when the bound holds.
  double worst_fraction = 0;
  double worst_error = 0;  ///< likewise, as a fraction of its pair's norm
  std::string problem;     ///< the first promise that was broken, in words; empty: none

  bool passed() const noexcept { return problem.empty(); }
};

/// Holds what a call left in memory against what it promised: every rotated component within
/// error_bound() of the double-precision result, the rest of each head copied bit for bit, a pair
/// NaN exactly where its table row is out of range, and every other byte (inputs, gaps between
/// rows, tokens of no sequence, positions, table, surroundings) as it was `before`. A pair with an
/// infinity or a NaN must have come out infinite or NaN.
Check check_outputs(const VerifyCase& test, const CaseMemory& before, const CaseMemory& after);

/// Holds the outputs of two calls with the same inputs against each other, bit for bit. Their
/// placement may differ. Nothing if they are the same, else the first difference.
std::string compare_outputs(const VerifyCase& test, const CaseMemory& memory,
                            const VerifyCase& other_test, const CaseMemory& other);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_VERIFY_CHECK_H_
