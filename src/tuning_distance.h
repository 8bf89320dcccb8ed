#ifndef ROPEJIT_SRC_TUNING_DISTANCE_H_
#define ROPEJIT_SRC_TUNING_DISTANCE_H_

#include <optional>

#include "src/tuning_file.h"

namespace ropejit {

// How far what was measured is from what is asked for. Halving or doubling a dimension counts by
// the weight below; the weights say how much a dimension decides which config is the fastest.

inline constexpr double kHeadDimWeight = 2.0;    ///< slots of a head
inline constexpr double kRotaryDimWeight = 2.0;  ///< the part of them that rotates
inline constexpr double kQHeadsWeight = 0.25;    ///< amount of work, and how heads form groups
inline constexpr double kKvHeadsWeight = 0.125;  ///< likewise, of the smaller part
inline constexpr double kAlignmentWeight = 1.0;  ///< width of an access
inline constexpr double kTokensWeight = 0.125;   ///< amount of work alone
/// What counts for being different at all.
inline constexpr double kDtypePenalty = 0.0625;    ///< of one size: the conversion alone
inline constexpr double kPositionsPenalty = 0.25;  ///< a load or a search before the first angle
/// Beyond this the heuristic is the better guess.
inline constexpr double kMostDistance = 1.5;

/// The distance between two spec classes, 0 if and only if they are equal. Nothing if the layouts,
/// the angles, the sizes of an element or the widest accesses differ that their rows allow: such
/// kernels have nothing to tell about each other.
std::optional<double> spec_distance(const SpecClass& a, const SpecClass& b);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_TUNING_DISTANCE_H_
