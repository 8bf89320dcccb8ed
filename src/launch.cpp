#include "src/launch.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "ropejit/error.h"
#include "src/source.h"

namespace ropejit {
namespace {

/// Multiplier and shift of kernel::Divisor for a divisor of 1 to 2^31.
kernel::Divisor divisor(std::uint64_t d) {
  const auto shift = static_cast<unsigned>(std::bit_width(d - 1));
  const std::uint64_t excess = (std::uint64_t{1} << shift) - d;
  return {static_cast<unsigned>((excess << 32) / d + 1), shift};
}

kernel::RopeTensor plan_tensor(const Tensor& in, const Tensor& out, std::int64_t rows,
                               const LaunchShape& shape) {
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
  tensor.rows = static_cast<unsigned long long>(rows);
  const std::int64_t block_rows =
      in.data == out.data ? shape.block_rows_in_place : shape.block_rows;
  const std::int64_t blocks = (rows + block_rows - 1) / block_rows;
  if (blocks > 0x7fffffff) {
    throw Error(ErrorCode::unsupported,
                fmt::format("{} rows (tokens x heads) need {} blocks; a grid has at most 2^31 - 1",
                            rows, blocks));
  }
  tensor.blocks = static_cast<unsigned>(blocks);
  return tensor;
}

unsigned block_threads(const Tensor& in, const Tensor& out, const LaunchShape& shape) {
  if (in.data == nullptr) return 0;
  return in.data == out.data ? shape.block_rows_in_place * shape.row_threads_in_place
                             : shape.block_rows * shape.row_threads;
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
  const Geometry rows = geometry(kernel_spec);
  const int all = rows.rotary_threads + rows.pass_threads;
  return {static_cast<unsigned>(all), static_cast<unsigned>(rows.rotary_threads),
          kernel::rows_per_block(config.block_threads, all),
          kernel::rows_per_block(config.block_threads, rows.rotary_threads)};
}

Launch plan_launch(const RopeSpec& spec, const LaunchShape& shape, const RopeArgs& args,
                   const std::uint64_t* turns, float attention_factor) {
  static_assert(sizeof(std::uint64_t) == sizeof(unsigned long long));
  const bool ragged = spec.positions == PositionMode::ragged;
  const std::int64_t tokens = ragged ? args.seq : args.batch * args.seq;
  Launch launch{};
  kernel::RopeParams& params = launch.params;
  params.q = plan_tensor(args.q, args.q_out, tokens * spec.q_heads, shape);
  params.k = plan_tensor(args.k, args.k_out, tokens * spec.kv_heads, shape);
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
  constexpr unsigned long long kNarrow = 1ull << 31;
  params.wide = params.q.rows >= kNarrow || params.k.rows >= kNarrow ? 1 : 0;
  if (params.wide == 0) params.seq_divisor = divisor(params.seq);

  const std::int64_t blocks = std::int64_t{params.q.blocks} + params.k.blocks;
  if (blocks > 0x7fffffff) {
    throw Error(ErrorCode::unsupported,
                fmt::format("{} blocks; a grid has at most 2^31 - 1", blocks));
  }
  launch.grid = static_cast<unsigned>(blocks);
  launch.block =
      std::max(block_threads(args.q, args.q_out, shape), block_threads(args.k, args.k_out, shape));
  return launch;
}

}  // namespace ropejit
