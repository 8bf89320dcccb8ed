#ifndef ROPEJIT_TESTS_KERNEL_MATRIX_H_
#define ROPEJIT_TESTS_KERNEL_MATRIX_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tools/verify_case.h"
#include "tools/verify_executor.h"

namespace ropejit {

/// The calls that every executor must get right, as a covering design over
///   layout, dtype, head_dim, rotary_dim, head counts, position mode with index type, alignment,
///   direction, angle source, table style, placement, in place, token counts, position, attention
///   factor, and launch config:
/// every two values of two dimensions occur together, and every combination of (layout, dtype,
/// head_dim), of (layout, head_dim, rotary_dim) and of (layout, dtype, config). Each row is one
/// call that keeps the spec's promise of alignment, if its placement lets it, and one that breaks
/// it: both kernels of a spec run. A value that cannot be combined with another gives way: in place
/// excludes a broadcast input and 2-byte alignment excludes float32. At the end come the corners: a
/// head of 1024 with 2 rotary dimensions, and of 1024 that all rotate, accesses of 32 bytes, heads
/// whose elements lie apart, and grids of several chunks.
const std::vector<VerifyCase>& kernel_matrix();

/// Runs every case on `threads` threads and returns what failed, one line each with the spec.
std::vector<std::string> failures_of(std::span<const VerifyCase> cases, Executor& executor,
                                     int threads);

/// The positions at which accuracy is promised.
std::span<const std::int64_t> accuracy_positions();

/// For every dtype and accuracy position, the largest error of an exact-angle case (see
/// Check::worst_error) as lines of a table; `failures` receives what was outside its bound.
std::string accuracy_table(Executor& executor, std::vector<std::string>& failures);

/// Every kernel that the matrix needs, each once.
struct MatrixKernel {
  RopeSpec spec;
  LaunchConfig config;
  bool operator==(const MatrixKernel&) const = default;
};
std::vector<MatrixKernel> matrix_kernels();

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_KERNEL_MATRIX_H_
