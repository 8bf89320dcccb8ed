#include "tests/covering_rows.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace ropejit {
namespace {

constexpr int kOpen = -1;

/// A group of dimensions and which combinations of their values have occurred.
class Group {
 public:
  Group(std::vector<std::size_t> dimensions, std::span<const int> levels)
      : dimensions_(std::move(dimensions)), levels_(levels.begin(), levels.end()) {
    int combinations = 1;
    for (const std::size_t d : dimensions_) combinations *= levels_[d];
    seen_.assign(static_cast<std::size_t>(combinations), false);
  }

  bool contains(std::size_t dimension) const {
    return std::find(dimensions_.begin(), dimensions_.end(), dimension) != dimensions_.end();
  }

  /// Whether the row, as far as it is known, has a combination that has not occurred.
  bool gains(const std::vector<int>& row) const {
    const std::optional<std::size_t> index = index_of(row);
    return index && !seen_[*index];
  }

  void mark(const std::vector<int>& row) { seen_[*index_of(row)] = true; }

  /// A row with the first missing combination, open elsewhere.
  std::optional<std::vector<int>> first_missing() const {
    const auto missing = std::find(seen_.begin(), seen_.end(), false);
    if (missing == seen_.end()) return std::nullopt;
    auto rest = static_cast<int>(missing - seen_.begin());
    std::vector<int> row(levels_.size(), kOpen);
    for (auto d = dimensions_.rbegin(); d != dimensions_.rend(); ++d) {
      row[*d] = rest % levels_[*d];
      rest /= levels_[*d];
    }
    return row;
  }

 private:
  std::optional<std::size_t> index_of(const std::vector<int>& row) const {
    int index = 0;
    for (const std::size_t d : dimensions_) {
      if (row[d] == kOpen) return std::nullopt;
      index = index * levels_[d] + row[d];
    }
    return static_cast<std::size_t>(index);
  }

  std::vector<std::size_t> dimensions_;
  std::vector<int> levels_;
  std::vector<bool> seen_;
};

std::ptrdiff_t gain(const std::vector<Group>& groups, const std::vector<int>& row,
                    std::size_t dimension) {
  return std::count_if(groups.begin(), groups.end(), [&](const Group& group) {
    return group.contains(dimension) && group.gains(row);
  });
}

/// Closes the open dimensions, each with the value that adds most; among equals the choice rotates
/// with `turn`, so that no value is favoured.
void complete(std::vector<int>& row, const std::vector<Group>& groups, std::span<const int> levels,
              int turn) {
  for (std::size_t d = 0; d < row.size(); ++d) {
    if (row[d] != kOpen) continue;
    int best = 0;
    std::ptrdiff_t best_gain = -1;
    for (int i = 0; i < levels[d]; ++i) {
      row[d] = (i + turn) % levels[d];
      if (const std::ptrdiff_t g = gain(groups, row, d); g > best_gain) {
        best = row[d];
        best_gain = g;
      }
    }
    row[d] = best;
  }
}

}  // namespace

std::vector<std::vector<int>> covering_rows(std::span<const int> levels,
                                            std::span<const std::vector<std::size_t>> groups) {
  std::vector<Group> open;
  for (const std::vector<std::size_t>& group : groups) open.emplace_back(group, levels);
  std::vector<std::vector<int>> rows;
  for (const Group& group : open) {
    while (std::optional<std::vector<int>> row = group.first_missing()) {
      complete(*row, open, levels, static_cast<int>(rows.size()));
      for (Group& each : open) each.mark(*row);
      rows.push_back(*row);
    }
  }
  return rows;
}

std::vector<std::vector<std::size_t>> all_pairs(std::size_t dimensions) {
  std::vector<std::vector<std::size_t>> pairs;
  for (std::size_t a = 0; a < dimensions; ++a) {
    for (std::size_t b = a + 1; b < dimensions; ++b) pairs.push_back({a, b});
  }
  return pairs;
}

}  // namespace ropejit
