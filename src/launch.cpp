#include "src/launch.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "ropejit/error.h"
#include "src/source.h"

namespace ropejit {
namespace {

constexpr std::uint64_t kMostBlocks = 0x7fffffff;

/// Of a chunk with a table: about what a large device has at work, so that each tensor still
/// streams, and few enough for the table's rows to stay in the cache meanwhile.
constexpr std::uint64_t kChunkBlocks = 1024;

/// As on the device; see kernel::Divisor.
std::uint32_t divide(std::uint32_t n, const kernel::Divisor& by) {
  const auto high = static_cast<std::uint32_t>((std::uint64_t{n} * by.multiplier) >> 32);
  return (n + high) >> by.shift;
}

/// Fills a tensor of the launch. How many blocks work on it.
std::uint64_t plan_tensor(kernel::RopeTensor& tensor, const Tensor& in, const Tensor& out,
                          std::int64_t tokens, unsigned groups, const LaunchShape& shape) {
  if (in.data == nullptr) {
    tensor = {};
    return 0;
  }
  tensor.in = in.data;
  tensor.out = out.data;
  tensor.in_seq = in.stride_seq;
  tensor.in_head = in.stride_head;
  tensor.out_seq = out.stride_seq;
  tensor.out_head = out.stride_head;
  tensor.in_batch = in.stride_batch;
  tensor.out_batch = out.stride_batch;
  const unsigned slots = in.data == out.data ? shape.slots_in_place : shape.slots;
  tensor.slots = static_cast<unsigned long long>(tokens) * (groups * slots);
  const std::uint64_t rounded = tensor.slots + shape.block_slots - 1;
  const std::uint64_t blocks =
      rounded >> 31 == 0 ? divide(static_cast<std::uint32_t>(rounded), shape.block_divisor)
                         : rounded / shape.block_slots;
  if (blocks > kMostBlocks) {
    throw Error(
        ErrorCode::unsupported,
        fmt::format("{} tokens need {} blocks; a grid has at most 2^31 - 1", tokens, blocks));
  }
  return blocks;
}

/// Lays the blocks of both tensors out.
void plan_grid(Launch& launch, AngleSource angles, std::uint64_t q_blocks, std::uint64_t k_blocks) {
  kernel::RopeParams& params = launch.params;
  std::uint64_t chunks = 1;
  if (angles == AngleSource::table && q_blocks != 0 && k_blocks != 0) {
    chunks = (q_blocks + k_blocks + kChunkBlocks - 1) / kChunkBlocks;
    q_blocks = (q_blocks + chunks - 1) / chunks;
    k_blocks = (k_blocks + chunks - 1) / chunks;
  }
  const std::uint64_t blocks = chunks * (q_blocks + k_blocks);
  if (blocks > kMostBlocks) {
    throw Error(ErrorCode::unsupported,
                fmt::format("{} blocks; a grid has at most 2^31 - 1", blocks));
  }
  launch.grid = static_cast<unsigned>(blocks);
  params.q_blocks = static_cast<unsigned>(q_blocks);
  params.k_blocks = static_cast<unsigned>(k_blocks);
  params.chunk_divisor =
      angles == AngleSource::table ? divisor(q_blocks + k_blocks) : kernel::Divisor{};
}

/// Whether indices of slots and offsets of elements stay within 31 bits.
bool is_narrow(const RopeSpec& spec, const CallFacts& facts, const kernel::RopeParams& params) {
  constexpr std::uint64_t kNarrow = std::uint64_t{1} << 31;
  return (params.q.slots | params.k.slots) < kNarrow &&
         static_cast<std::uint64_t>(facts.span_bytes) < kNarrow * size_of(spec.dtype);
}

std::uintptr_t tensor_bits(const RopeSpec& spec, const RopeArgs& args, const Tensor& tensor,
                           std::int64_t heads) {
  if (tensor.data == nullptr) return 0;
  const bool one_batch = spec.positions == PositionMode::ragged || args.batch == 1;
  const std::int64_t strides = (one_batch ? 0 : tensor.stride_batch) |
                               (args.seq == 1 ? 0 : tensor.stride_seq) |
                               (heads == 1 ? 0 : tensor.stride_head);
  // Elements that lie apart are accessed one by one: no alignment beyond theirs is kept.
  const std::uintptr_t one_by_one = tensor.stride_dim == 1 ? 0 : size_of(spec.dtype);
  return reinterpret_cast<std::uintptr_t>(tensor.data) |
         static_cast<std::uintptr_t>(strides) * size_of(spec.dtype) | one_by_one;
}

}  // namespace

std::uintptr_t table_bits(const CosSinTable& table) noexcept {
  return reinterpret_cast<std::uintptr_t>(table.cos) | reinterpret_cast<std::uintptr_t>(table.sin) |
         static_cast<std::uintptr_t>(table.rows > 1 ? table.row_stride : 0) * sizeof(float);
}

AddressBits address_bits(const RopeSpec& spec, const RopeArgs& args) noexcept {
  return {tensor_bits(spec, args, args.q, spec.q_heads) |
              tensor_bits(spec, args, args.q_out, spec.q_heads) |
              tensor_bits(spec, args, args.k, spec.kv_heads) |
              tensor_bits(spec, args, args.k_out, spec.kv_heads),
          table_bits(args.table)};
}

bool aligned_to(const RopeSpec& spec, const AddressBits& bits, int alignment) noexcept {
  if (!is_multiple(bits.tensors, static_cast<std::uintptr_t>(alignment))) return false;
  return spec.angles != AngleSource::table ||
         is_multiple(bits.table,
                     static_cast<std::uintptr_t>(table_alignment(alignment, spec.rotary())));
}

kernel::Divisor divisor(std::uint64_t d) noexcept {
  const auto shift = static_cast<unsigned>(std::bit_width(d - 1));
  const std::uint64_t excess = (std::uint64_t{1} << shift) - d;
  return {static_cast<unsigned>((excess << 32) / d + 1), shift};
}

LaunchShape launch_shape(const RopeSpec& kernel_spec, const LaunchConfig& config) {
  const Geometry shape = geometry(kernel_spec, config);
  const auto groups = [&](int heads) {
    const int group = std::min(shape.heads_per_thread, heads);
    return static_cast<unsigned>((heads + group - 1) / group);
  };
  LaunchShape launch{};
  launch.block_threads = static_cast<unsigned>(config.block_threads);
  launch.block_slots = launch.block_threads / static_cast<unsigned>(shape.lanes_per_slot());
  launch.block_divisor = divisor(launch.block_slots);
  launch.slots = static_cast<unsigned>(shape.rotary_slots + shape.pass_slots);
  launch.slots_in_place = static_cast<unsigned>(shape.rotary_slots);
  launch.q_groups = groups(kernel_spec.q_heads);
  launch.kv_groups = groups(kernel_spec.kv_heads);
  return launch;
}

Launch plan_launch(const RopeSpec& spec, const LaunchShape& shape, const RopeArgs& args,
                   const CallFacts& facts, const std::uint64_t* turns, float attention_factor) {
  static_assert(sizeof(std::uint64_t) == sizeof(unsigned long long));
  Launch launch;  // every field is written below: to clear them first would cost as much again
  kernel::RopeParams& params = launch.params;
  const std::uint64_t q_blocks =
      plan_tensor(params.q, args.q, args.q_out, facts.tokens, shape.q_groups, shape);
  const std::uint64_t k_blocks =
      plan_tensor(params.k, args.k, args.k_out, facts.tokens, shape.kv_groups, shape);
  plan_grid(launch, spec.angles, q_blocks, k_blocks);
  launch.block = shape.block_threads;
  params.turns = reinterpret_cast<const unsigned long long*>(turns);
  params.offset = args.offset;
  params.batch = static_cast<unsigned long long>(args.batch);
  params.seq = static_cast<unsigned long long>(args.seq);
  params.attention_factor = attention_factor;
  params.dependent_launch = args.dependent_launch ? 1 : 0;
  params.early_positions = args.early_positions ? 1 : 0;
  params.cos = args.table.cos;
  params.sin = args.table.sin;
  params.table_rows = args.table.rows;
  params.table_stride = args.table.row_stride;
  params.positions = args.positions;
  params.cu_seqlens = args.cu_seqlens;
  params.position_stride = args.position_stride_batch.value_or(args.seq);
  params.q_dim = {args.q.stride_dim, args.q_out.stride_dim};
  params.k_dim = {args.k.stride_dim, args.k_out.stride_dim};
  params.wide = is_narrow(spec, facts, params) ? 0 : 1;
  const bool divides_by_seq = args.batch > 1 && params.wide == 0;
  params.seq_divisor = divides_by_seq ? divisor(params.seq) : kernel::Divisor{};
  return launch;
}

}  // namespace ropejit
