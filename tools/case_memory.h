#ifndef ROPEJIT_TOOLS_CASE_MEMORY_H_
#define ROPEJIT_TOOLS_CASE_MEMORY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ropejit/args.h"
#include "tools/verify_case.h"

namespace ropejit {

/// Host memory that starts at a multiple of 256 bytes, as device memory does. Copyable.
class Block {
 public:
  explicit Block(std::size_t bytes) : chunks_((bytes + sizeof(Chunk) - 1) / sizeof(Chunk)) {}
  std::byte* data() noexcept { return chunks_.front().bytes.data(); }
  const std::byte* data() const noexcept { return chunks_.front().bytes.data(); }
  std::size_t size() const noexcept { return chunks_.size() * sizeof(Chunk); }

 private:
  struct alignas(256) Chunk {
    std::array<std::byte, 256> bytes;
  };
  std::vector<Chunk> chunks_;
};

/// A byte of a block.
struct BlockAddress {
  std::size_t block = 0;
  std::size_t byte = 0;
};

/// Where a tensor is: its element [0,0,0,0] and its strides.
struct PlacedTensor {
  BlockAddress first;
  std::int64_t stride_batch = 0;
  std::int64_t stride_seq = 0;
  std::int64_t stride_head = 0;
  std::int64_t stride_dim = 1;
  int heads = 0;
};

/// All memory of one call: q, k and their outputs, positions, cu_seqlens and table, every one of
/// them with unused bytes around it. Copyable: a copy made before the call says what was there.
struct CaseMemory {
  std::vector<Block> blocks;
  std::optional<PlacedTensor> q, k, q_out, k_out;  ///< nothing: absent
  std::optional<BlockAddress> positions, cu_seqlens, cos, sin;
};

/// Lays the case's tensors out and fills them: unused bytes and outputs with a pattern that differs
/// from byte to byte; inputs with random numbers, mostly normal, some from 1e-3 to 1e3, some zero
/// and, for float16, some subnormal. The numbers depend on the spec and the token counts only, so
/// that a call in place and one out of place get the same.
CaseMemory make_memory(const VerifyCase& test);

/// The arguments of the call, pointing into `memory`.
RopeArgs args_of(const VerifyCase& test, CaseMemory& memory);

/// The first byte of element [batch, seq, head, d] of a tensor.
BlockAddress element_address(const VerifyCase& test, const PlacedTensor& tensor, std::int64_t batch,
                             std::int64_t seq, std::int64_t head, std::int64_t d) noexcept;

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_CASE_MEMORY_H_
