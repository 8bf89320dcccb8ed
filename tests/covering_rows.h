#ifndef ROPEJIT_TESTS_COVERING_ROWS_H_
#define ROPEJIT_TESTS_COVERING_ROWS_H_

#include <cstddef>
#include <span>
#include <vector>

namespace ropejit {

/// Few rows over dimensions of `levels[i]` values each, such that every combination of values of
/// every group of dimensions occurs in a row (a covering array; with all pairs as groups, a
/// pairwise design). Greedy: each row starts from the first combination that is missing, then takes
/// for every other dimension the value that adds most. Deterministic.
std::vector<std::vector<int>> covering_rows(std::span<const int> levels,
                                            std::span<const std::vector<std::size_t>> groups);

/// The groups of every two of `dimensions` dimensions.
std::vector<std::vector<std::size_t>> all_pairs(std::size_t dimensions);

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_COVERING_ROWS_H_
