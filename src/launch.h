#ifndef ROPEJIT_SRC_LAUNCH_H_
#define ROPEJIT_SRC_LAUNCH_H_

#include <cstdint>

#include "ropejit/args.h"
#include "ropejit/config.h"
#include "ropejit/spec.h"
#include "templates/params.cuh"

namespace ropejit {

/// Rows (tokens x heads) of one call at most. One takes at least a thread of a grid of fewer than
/// 2^31 blocks, and every product of counts stays far from 2^63.
inline constexpr std::int64_t kMostRows = std::int64_t{1} << 40;

/// Without a division, which takes as long as a dozen other instructions where only the run knows
/// the divisor.
constexpr bool is_multiple(std::uintptr_t n, std::uintptr_t power_of_two) noexcept {
  return (n & (power_of_two - 1)) == 0;
}

/// All base addresses and strides in bytes that a call uses, or-ed: a multiple of 2^n if and only
/// if each of them is. Of a tensor whose last dimension has another stride than 1, the size of an
/// element as well, so that no wider access is taken for good.
struct AddressBits {
  std::uintptr_t tensors = 0;
  std::uintptr_t table = 0;
};
std::uintptr_t table_bits(const CosSinTable& table) noexcept;
AddressBits address_bits(const RopeSpec& spec, const RopeArgs& args) noexcept;

/// Whether those of the tensors are multiples of `alignment` bytes, and those of the table of
/// table_alignment().
bool aligned_to(const RopeSpec& spec, const AddressBits& bits, int alignment) noexcept;

/// What a call's arguments come to.
struct CallFacts {
  std::int64_t tokens = 0;      ///< 0: nothing is to be done
  std::int64_t span_bytes = 0;  ///< of the tensor that reaches farthest, from its first byte on
  AddressBits bits{};
};

/// Throws Error(invalid_argument) that names the first argument that breaks its rule, and
/// Error(unsupported) for a grid beyond the device's limits. Allocates only to throw. A call
/// without tokens is valid whatever its pointers are.
CallFacts check_args(const RopeSpec& spec, const RopeArgs& args);

/// As check_args, which leaves to it the calls that plain_facts() does not know: rule by rule, with
/// an exact search where tensors may overlap.
CallFacts check_closely(const RopeSpec& spec, const RopeArgs& args);

/// Everything that a launch needs.
struct Launch {
  kernel::RopeParams params;
  unsigned grid;
  unsigned block;
};

/// Multiplier and shift of kernel::Divisor for a divisor of 1 to 2^31.
kernel::Divisor divisor(std::uint64_t d) noexcept;

/// What a call need not compute again for one kernel and config.
struct LaunchShape {
  unsigned block_threads;
  unsigned block_slots;           ///< see Geometry
  kernel::Divisor block_divisor;  ///< of block_slots
  unsigned slots;                 ///< of a group of heads, out of place
  unsigned slots_in_place;
  unsigned q_groups;  ///< of heads, per token
  unsigned kv_groups;
};
LaunchShape launch_shape(const RopeSpec& kernel_spec, const LaunchConfig& config);

/// The launch for arguments that check_args accepted, with its `facts`. `turns` is where the kernel
/// finds the frequencies.
Launch plan_launch(const RopeSpec& spec, const LaunchShape& shape, const RopeArgs& args,
                   const CallFacts& facts, const std::uint64_t* turns, float attention_factor);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_LAUNCH_H_
