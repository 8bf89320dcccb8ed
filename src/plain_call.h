#ifndef ROPEJIT_SRC_PLAIN_CALL_H_
#define ROPEJIT_SRC_PLAIN_CALL_H_

#include <optional>

#include "src/launch.h"

namespace ropejit {

/// The facts of a call whose tensors are plainly valid: the elements of a row lie side by side, no
/// stride is negative or beyond 2^32 elements, no count beyond 2^26, rows nest in the order batch,
/// seq, head, and tensors lie apart or are slices of one packed buffer. Nearly every call is; one
/// that is not may be valid all the same, and check_closely() knows. Positions and the table are
/// not looked at. Every call pays for this: what follows from strides and counts is remembered, per
/// thread, from the call before, and compared with no jump; of a call like the one before only the
/// addresses are looked at.
std::optional<CallFacts> plain_facts(const RopeSpec& spec, const RopeArgs& args) noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_SRC_PLAIN_CALL_H_
