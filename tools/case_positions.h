#ifndef ROPEJIT_TOOLS_CASE_POSITIONS_H_
#define ROPEJIT_TOOLS_CASE_POSITIONS_H_

#include <cstdint>

#include "tools/verify_case.h"

namespace ropejit {

/// Gives `test` positions at and around `start`, as the spec's position mode takes them: of several
/// sequences or ids, some are far away and of the other sign. Fitted to the index type. With
/// PositionMode::ragged, the case's batch x seq tokens become flat ones of six unequal sequences,
/// the first, third and last of them empty, with padding tokens before and after; they start at 0
/// if `start` is 0. With AngleSource::table, `start` only decides between a table that holds all
/// positions (0 and above) and one that some of them are outside of (below 0).
void set_positions(VerifyCase& test, std::int64_t start);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_CASE_POSITIONS_H_
