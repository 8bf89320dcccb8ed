#ifndef ROPEJIT_TESTS_CUBIN_FACTS_H_
#define ROPEJIT_TESTS_CUBIN_FACTS_H_

#include <cstddef>
#include <optional>
#include <span>

namespace ropejit {

/// Bytes of local memory that a thread of the kernel in `cubin` takes for its stack, hence for
/// spilled registers: the largest EIATTR_FRAME_SIZE in the ELF file's `.nv.info` section, which is
/// what `cuobjdump -elf` prints. Nothing if the file has no such section or no such attribute.
std::optional<unsigned> stack_bytes(std::span<const std::byte> cubin);

/// Whether the cubin has variables in device memory, in its `.nv.global` or `.nv.global.init`
/// section. To load such a cubin a driver allocates memory and fills it: ten times the time of one
/// without.
bool has_variables(std::span<const std::byte> cubin);

}  // namespace ropejit

#endif  // ROPEJIT_TESTS_CUBIN_FACTS_H_
