#ifndef ROPEJIT_TOOLS_TUNE_SELECT_H_
#define ROPEJIT_TOOLS_TUNE_SELECT_H_

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ropejit/config.h"
#include "tools/tune_record.h"

namespace ropejit {

/// A config that is slower by no more than this counts as fast as the fastest: what one process
/// measures differs from what another does by up to half of it.
inline constexpr double kIndifferent = 0.02;
/// A config that was slower by more than this does not, however few the rounds.
inline constexpr double kDifferent = 0.025;
/// What an incumbent may be slower by: to displace it costs its users new kernels.
inline constexpr double kDisplaced = 0.03;

/// One reason to call a config simpler than another, all before it being equal.
struct SimplicityCriterion {
  std::string_view name;
  int (*value)(const LaunchConfig& config);  ///< the lower, the simpler
};
/// In order of weight: kind of stores, pairing, heads per thread, width of an access, distance from
/// 128 threads, threads.
std::span<const SimplicityCriterion> simplicity_criteria();
/// Whether `a` comes before `b` in the order of the criteria.
bool simpler(const LaunchConfig& a, const LaunchConfig& b) noexcept;

/// How one of a cell's finalists stands against the fastest, by the final rounds alone.
struct Standing {
  LaunchConfig config;
  double excess = 0;  ///< its time / the fastest's - 1, of the rounds that both took part in
  double low = 0;     ///< the interval that holds the excess with 99% (see center_interval())
  double high = 0;
  double us = 0;                    ///< its combined time
  double tolerated = kIndifferent;  ///< of its excess

  /// Whether it is not shown to be slower than the fastest by more than makes a difference.
  bool as_fast() const noexcept {
    return excess <= tolerated || (low <= 0 && excess <= kDifferent);
  }
  /// Whether more rounds could show the contrary, or that it stays so.
  bool unclear() const noexcept { return low <= tolerated && tolerated < high; }
};
/// The finalists, fastest first. Empty for a cell where nothing could be measured.
std::vector<Standing> standings(const CellRecord& record);

/// What was chosen for a cell, and what it is chosen among.
struct Choice {
  LaunchConfig config;
  double us = 0;          ///< its combined time
  double best_us = 0;     ///< the fastest finalist's
  double default_us = 0;  ///< the default's; 0 if it was not measured
  bool is_default = false;
  bool is_incumbent = false;
};

/// The order in which configs of one cell are preferred among those that are as fast: the
/// incumbent; the default; then what shares the kernel of the first of these; then the simplest.
class Preference {
 public:
  Preference(const LaunchConfig& given, const std::optional<LaunchConfig>& incumbent)
      : given_(given), incumbent_(incumbent) {}
  bool operator()(const LaunchConfig& a, const LaunchConfig& b) const;

 private:
  int rank(const LaunchConfig& config) const;

  LaunchConfig given_;
  std::optional<LaunchConfig> incumbent_;
};

/// Chooses the most preferred among the finalists that are as fast as the fastest. Nothing for a
/// cell without a standing.
std::optional<Choice> choose(const CellRecord& record);

/// Whether more rounds could change what choose() says, and which finalists would have to take part
/// in them: the fastest, and whichever comes before the choice if it is as fast.
std::vector<LaunchConfig> undecided(const CellRecord& record);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_SELECT_H_
