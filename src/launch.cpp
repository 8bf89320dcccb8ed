#include "src/launch.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "ropejit/error.h"
#include "src/source.h"

namespace ropejit {
namespace {

constexpr std::uint64_t kMostBlocks = 0x7fffffff;

/// Multiplier and shift of kernel::Divisor for a divisor of 1 to 2^31.
kernel::Divisor divisor(std::uint64_t d) {
  const auto shift = static_cast<unsigned>(std::bit_width(d - 1));
  const std::uint64_t excess = (std::uint64_t{1} << shift) - d;
  return {static_cast<unsigned>((excess << 32) / d + 1), shift};
}

kernel::RopeTensor plan_tensor(const Tensor& in, const Tensor& out, std::int64_t tokens,
                               unsigned groups, const LaunchShape& shape) {
  kernel::RopeTensor tensor{};
  if (in.data == nullptr) return tensor;
  tensor.in = in.data;
  tensor.out = out.data;
  tensor.in_batch = in.stride_batch;
  tensor.in_seq = in.stride_seq;
  tensor.in_head = in.stride_head;
  tensor.out_batch = out.stride_batch;
  tensor.out_seq = out.stride_seq;
  tensor.out_head = out.stride_head;
  const unsigned slots = in.data == out.data ? shape.slots_in_place : shape.slots;
  tensor.slots = static_cast<unsigned long long>(tokens) * groups * slots;
  const std::uint64_t blocks = (tensor.slots + shape.block_slots - 1) / shape.block_slots;
  if (blocks > kMostBlocks) {
    throw Error(
        ErrorCode::unsupported,
        fmt::format("{} tokens need {} blocks; a grid has at most 2^31 - 1", tokens, blocks));
  }
  tensor.blocks = static_cast<unsigned>(blocks);
  return tensor;
}

bool table_is_aligned(const CosSinTable& table) {
  const auto address = reinterpret_cast<std::uintptr_t>(table.cos) |
                       reinterpret_cast<std::uintptr_t>(table.sin) |
                       static_cast<std::uintptr_t>(table.row_stride) * sizeof(float);
  return address % 16 == 0;
}

/// Address bits and stride bytes of a tensor, or-ed: a multiple of 2^n if and only if all of them
/// are.
std::uintptr_t alignment_bits(const RopeSpec& spec, const RopeArgs& args, const Tensor& tensor,
                              std::int64_t heads) {
  if (tensor.data == nullptr) return 0;
  const bool one_batch = spec.positions == PositionMode::ragged || args.batch == 1;
  const std::int64_t strides = (one_batch ? 0 : tensor.stride_batch) |
                               (args.seq == 1 ? 0 : tensor.stride_seq) |
                               (heads == 1 ? 0 : tensor.stride_head);
  return reinterpret_cast<std::uintptr_t>(tensor.data) |
         static_cast<std::uintptr_t>(strides) * size_of(spec.dtype);
}

}  // namespace

bool aligned_to(const RopeSpec& spec, const RopeArgs& args, int alignment) noexcept {
  const std::uintptr_t bits = alignment_bits(spec, args, args.q, spec.q_heads) |
                              alignment_bits(spec, args, args.q_out, spec.q_heads) |
                              alignment_bits(spec, args, args.k, spec.kv_heads) |
                              alignment_bits(spec, args, args.k_out, spec.kv_heads);
  return bits % static_cast<std::uintptr_t>(alignment) == 0;
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
  launch.slots = static_cast<unsigned>(shape.rotary_slots + shape.pass_slots);
  launch.slots_in_place = static_cast<unsigned>(shape.rotary_slots);
  launch.q_groups = groups(kernel_spec.q_heads);
  launch.kv_groups = groups(kernel_spec.kv_heads);
  return launch;
}

Launch plan_launch(const RopeSpec& spec, const LaunchShape& shape, const RopeArgs& args,
                   const std::uint64_t* turns, float attention_factor) {
  static_assert(sizeof(std::uint64_t) == sizeof(unsigned long long));
  const bool ragged = spec.positions == PositionMode::ragged;
  const std::int64_t tokens = ragged ? args.seq : args.batch * args.seq;
  Launch launch{};
  kernel::RopeParams& params = launch.params;
  params.q = plan_tensor(args.q, args.q_out, tokens, shape.q_groups, shape);
  params.k = plan_tensor(args.k, args.k_out, tokens, shape.kv_groups, shape);
  params.turns = reinterpret_cast<const unsigned long long*>(turns);
  params.cos = args.table.cos;
  params.sin = args.table.sin;
  params.table_rows = args.table.rows;
  params.table_stride = args.table.row_stride;
  params.table_aligned = table_is_aligned(args.table) ? 1 : 0;
  params.positions = args.positions;
  params.cu_seqlens = args.cu_seqlens;
  params.position_stride = args.position_stride_batch.value_or(args.seq);
  params.offset = args.offset;
  params.batch = static_cast<unsigned long long>(args.batch);
  params.seq = static_cast<unsigned long long>(args.seq);
  params.attention_factor = attention_factor;
  params.early_positions = args.early_positions ? 1 : 0;
  constexpr unsigned long long kNarrow = 1ull << 31;
  params.wide = params.q.slots >= kNarrow || params.k.slots >= kNarrow ? 1 : 0;
  if (args.batch > 1 && params.wide == 0) params.seq_divisor = divisor(params.seq);

  const std::uint64_t blocks = std::uint64_t{params.q.blocks} + params.k.blocks;
  if (blocks > kMostBlocks) {
    throw Error(ErrorCode::unsupported,
                fmt::format("{} blocks; a grid has at most 2^31 - 1", blocks));
  }
  launch.grid = static_cast<unsigned>(blocks);
  launch.block = shape.block_threads;
  return launch;
}

}  // namespace ropejit
