#ifndef ROPEJIT_SRC_TUNING_LOOKUP_H_
#define ROPEJIT_SRC_TUNING_LOOKUP_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/tuning_file.h"

namespace ropejit {

/// The entries of one run of a tuned file.
struct TuningSection {
  std::string file;   ///< for people
  std::size_t layer;  ///< the lower, the more it counts
  DeviceClass device_class;
  std::vector<std::string> aliases;
  std::span<const TuningEntry> entries;
};

/// How well an entry fits a token bucket; the least fits best.
struct TuningRank {
  Match match;
  double distance;  ///< see tuning_distance.h
  std::size_t layer;
  std::int64_t tokens;

  bool operator<(const TuningRank& other) const noexcept;
};

/// An entry that may be taken for a spec on a class of devices.
struct TuningCandidate {
  const TuningSection* section;
  const TuningEntry* entry;
  double spec_distance;
  std::string problem;  ///< why its config cannot run there; empty: it can

  TuningRank rank(int bucket) const noexcept;
  /// Whether it is near enough.
  bool fits(int bucket) const noexcept;
};

/// The entries of `sections` that come into question for some token bucket: those of the spec, and
/// unless one of them can run, whatever the token count, those of specs that are near as well.
std::vector<TuningCandidate> find_candidates(std::span<const TuningSection> sections,
                                             const SpecClass& spec,
                                             const DeviceClass& device_class);

/// The best of those that fit and can run; nullptr if there is none.
const TuningCandidate* best_of(std::span<const TuningCandidate> candidates, int bucket) noexcept;

/// One sentence: why `best`, a result of best_of(), and what that passed over.
std::string why(std::span<const TuningCandidate> candidates, const TuningCandidate* best,
                int bucket);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_TUNING_LOOKUP_H_
