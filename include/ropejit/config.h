#ifndef ROPEJIT_CONFIG_H_
#define ROPEJIT_CONFIG_H_

#include <string>
#include <string_view>

#include "ropejit/spec.h"

namespace ropejit {

/// How the two elements of a sequential pair, half a rotary part apart, come to one thread. Without
/// meaning for Layout::interleaved, whose pairs are neighbours.
enum class Pairing {
  registers,  ///< a thread loads an access of either half
  exchange,   ///< a thread loads one access; two lanes of a warp exchange what the other lacks
};

inline constexpr int kMostBlockThreads = 512;

/// How a spec is computed: what may be tuned without changing the result.
struct LaunchConfig {
  /// Threads per block, a multiple of 32 from 32 to 512. Chosen at the launch: configs that differ
  /// in nothing else share a kernel.
  int block_threads = 128;
  /// Widest load and store, in bytes: 4, 8, 16 or 32. A kernel takes the widest that the spec's
  /// alignment and the shape of a head allow, up to this. 32 is one instruction from sm_100 on and
  /// two before.
  int access_bytes = 16;
  Pairing pairing = Pairing::registers;
  /// Heads of one token that a thread rotates by the same cosines and sines: 1, 2 or 4.
  int heads_per_thread = 1;
  /// Marks what is stored to leave the L2 cache first (st.global.cs): it makes room for what other
  /// kernels keep there, at the cost of a consumer that would have found the result there.
  bool streaming_stores = false;

  bool operator==(const LaunchConfig&) const = default;
};

/// Throws Error(invalid_argument) that names the field that breaks its rule.
void validate(const LaunchConfig& config);

/// The name as spelled in the enum, and its inverse, which throws Error(invalid_argument) that
/// names `field`, the text and the accepted values.
std::string_view name(Pairing value) noexcept;
Pairing parse_pairing(std::string_view text, std::string_view field = "pairing");

/// One line for people and logs, such as `128 threads, 16 bytes, exchange, 2 heads`.
std::string describe(const LaunchConfig& config);

}  // namespace ropejit

#endif  // ROPEJIT_CONFIG_H_
