#ifndef ROPEJIT_SRC_SOURCE_H_
#define ROPEJIT_SRC_SOURCE_H_

#include <string>
#include <vector>

#include "ropejit/config.h"
#include "ropejit/spec.h"

namespace ropejit {

/// How a row (one head of one token) is divided among threads. Follows from the spec alone.
struct Geometry {
  int rotary_bytes;    ///< of one access to the rotary part: a power of two from one element to 16
  int pass_bytes;      ///< likewise for the part that passes through
  int rotary_threads;  ///< per row
  int pass_threads;    ///< per row; 0 when all of the head rotates
};
Geometry geometry(const RopeSpec& spec);

/// The alignment that kernels for `spec` assume: the largest power of two that divides
/// spec.alignment and a head's bytes, since a dense tensor's strides are multiples of those.
int effective_alignment(const RopeSpec& spec);

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
Source render(const RopeSpec& kernel_spec, const LaunchConfig& config);

/// The NVRTC options that every kernel is compiled with, the architecture apart.
const std::vector<std::string>& compile_options();

}  // namespace ropejit

#endif  // ROPEJIT_SRC_SOURCE_H_
