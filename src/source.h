#ifndef ROPEJIT_SRC_SOURCE_H_
#define ROPEJIT_SRC_SOURCE_H_

#include <string>
#include <vector>

#include "ropejit/config.h"
#include "ropejit/spec.h"

namespace ropejit {

/// How the heads of a token are divided among threads. A slot is what one thread does to a group of
/// `heads_per_thread` heads, or, with Pairing::exchange, what two lanes of a warp do.
struct Geometry {
  Pairing pairing;
  int heads_per_thread;
  int rotary_bytes;  ///< of one access to the rotary part: a power of two, from one element up
  int pass_bytes;    ///< likewise for the part that passes through, at most 16
  int rotary_slots;  ///< per group of heads
  int pass_slots;    ///< per group of heads; 0 when all of the head rotates

  int lanes_per_slot() const noexcept { return pairing == Pairing::exchange ? 2 : 1; }
};
Geometry geometry(const RopeSpec& spec, const LaunchConfig& config);

/// `config` with what has no effect on kernels for `spec` at its canonical value: two configs give
/// the same kernel if and only if these are equal but for block_threads.
LaunchConfig effective_config(const RopeSpec& spec, const LaunchConfig& config);

/// The alignment that kernels for `spec` assume: the largest power of two that divides
/// spec.alignment and a head's bytes, since a dense tensor's strides are multiples of those.
int effective_alignment(const RopeSpec& spec);

/// What divides the address of every row of a table, as kernels that assume `alignment` do: the
/// largest power of two up to 16 that divides that and, since sines may follow cosines in a row,
/// the bytes of rotary_dim / 2 floats; at least one float.
int table_alignment(int alignment, int rotary_dim) noexcept;

/// The specs of the kernels that a Rope of `spec` holds: one with its effective alignment, and,
/// unless that is one element already, one that assumes one element's alignment. rotary_dim is
/// filled in.
std::vector<RopeSpec> kernel_specs(const RopeSpec& spec);

/// A complete translation unit without includes: the templates with their constants. nvcc compiles
/// it, and so does a C++ compiler, to a function that executes the kernel on the host.
struct Source {
  std::string text;
  std::string name;         ///< for messages: `rope.cu`
  std::string entry_point;  ///< the kernel's name
};
/// What a kernel does to what it reads. `copy` is the rotation-free twin of a kernel, which moves
/// the same bytes by the same accesses: what the rotation costs is measured against it.
enum class Body { rotate, copy };
Source render(const RopeSpec& kernel_spec, const LaunchConfig& config, Body body = Body::rotate);

/// The NVRTC options that every kernel is compiled with, the architecture apart.
const std::vector<std::string>& compile_options();

}  // namespace ropejit

#endif  // ROPEJIT_SRC_SOURCE_H_
