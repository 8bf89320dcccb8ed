#ifndef ROPEJIT_TABLE_H_
#define ROPEJIT_TABLE_H_

#include <cstdint>
#include <vector>

#include "ropejit/args.h"
#include "ropejit/frequencies.h"
#include "ropejit/scaling.h"
#include "ropejit/spec.h"

namespace ropejit {

/// How the angles of a table are computed. docs/tables.md says how far they are apart.
enum class TableFlavor {
  exact,       ///< what AngleSource::exact rotates by: right at every position
  fp32_angle,  ///< position times frequency in float32, as the model was trained with
};

/// What a table of P rows and R rotary dimensions looks like in memory.
enum class TableLayout {
  separate,      ///< [2, P, R/2]: all cosines, then all sines
  concatenated,  ///< [P, R]: each row its cosines, then its sines (vLLM's and FlashInfer's cache)
  duplicated,    ///< [2, P, R]: as separate, with each row written twice (transformers' cos, sin)
};

/// Cosines and sines, times the attention factor, of positions 0 .. rows - 1, on the host.
struct HostTable {
  std::vector<float> values{};  ///< shaped as the layout says
  std::int64_t rows = 0;
  std::int64_t columns = 0;     ///< cosines per row: R/2, or R where duplicated
  std::int64_t row_stride = 0;  ///< elements from one row to the next
  std::int64_t sin_offset = 0;  ///< elements from a cosine to its sine

  /// Borrows `values`, for apply_reference().
  CosSinTable view() const noexcept { return view(values.data()); }
  /// Of a copy of `values` that begins at `copy`, usually on the device.
  CosSinTable view(const float* copy) const noexcept {
    return {copy, copy + sin_offset, rows, columns, row_stride};
  }
};

/// A model's frequencies as a framework holds them: `inv_freq`.
struct Fp32Frequencies {
  std::vector<float> radians{};  ///< per position, of each pair
  float attention_factor = 1.0f;

  bool operator==(const Fp32Frequencies&) const = default;
};

/// The frequencies for sequences of up to `length` tokens (0: up to the trained context) in the
/// float32 operations of transformers' modeling_rope_utils.py on the CPU, in their order. A power
/// is the float nearest to the true one, where PyTorch's may be the next (docs/tables.md). For
/// Scaling::ntk, which transformers lacks, the base is computed in double. Throws what
/// make_frequencies() throws. Thread-safe; costs one pow per pair and make_frequencies().
Fp32Frequencies make_fp32_frequencies(const RotaryParameters& parameters, std::int64_t length = 0);

/// TableFlavor::exact: the phase is exact in the 64-bit turns; cosine, sine and their product with
/// the attention factor are double and are rounded once to float32.
///
/// Of all overloads: `rows` is from 1 to 2^31. Rotate by a table with an attention factor of 1 in
/// the call's Frequencies, because the table has it already. Throws Error(invalid_argument) that
/// names the field, its value and the rule. Thread-safe; single-threaded; tens of nanoseconds per
/// row and pair; the result owns its memory.
HostTable build_table(const Frequencies& frequencies, std::int64_t rows,
                      TableLayout layout = TableLayout::separate);

/// TableFlavor::fp32_angle: float32(position) · frequency rounded to float32; the floats nearest to
/// its cosine and sine; their float32 products with the attention factor. With the `inv_freq` that
/// a framework holds, the angles are the framework's bit for bit.
HostTable build_table(const Fp32Frequencies& frequencies, std::int64_t rows,
                      TableLayout layout = TableLayout::separate);

/// Either flavour, from a model's parameters, for sequences of up to `length` tokens (0: up to the
/// trained context).
HostTable build_table(const RotaryParameters& parameters, std::int64_t rows,
                      TableFlavor flavor = TableFlavor::exact,
                      TableLayout layout = TableLayout::separate, std::int64_t length = 0);

/// The table's values as float16 or bfloat16, rounded to nearest with ties to even, in the same
/// shape: what a framework holds that keeps its table in the model's dtype. ropejit's kernels read
/// float32 tables only. Throws Error(invalid_argument) for another dtype.
std::vector<std::uint16_t> to_16_bit(const HostTable& table, Dtype dtype);

}  // namespace ropejit

#endif  // ROPEJIT_TABLE_H_
