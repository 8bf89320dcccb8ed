#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "ropejit/error.h"
#include "src/launch.h"
#include "src/overlap.h"
#include "src/plain_call.h"

namespace ropejit {
namespace {

[[noreturn, gnu::cold]] void refuse(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

/// A call, with what every check of its memory needs.
struct Call {
  Call(const RopeSpec& of, const RopeArgs& with)
      : spec(of),
        args(with),
        sequences(of.positions == PositionMode::ragged ? 1 : with.batch),
        element(static_cast<std::int64_t>(size_of(of.dtype))) {}

  const RopeSpec& spec;
  const RopeArgs& args;
  const std::int64_t sequences;  ///< that have a stride
  const std::int64_t element;    ///< bytes
};

struct NamedTensor {
  const char* name;
  const Tensor& tensor;
  std::int64_t heads;
};

void check_counts(const RopeArgs& args) {
  if (args.batch < 0) refuse(fmt::format("batch = {}: must not be negative", args.batch));
  if (args.seq < 0) refuse(fmt::format("seq = {}: must not be negative", args.seq));
}

void check_sizes(const Call& call) {
  const RopeArgs& args = call.args;
  if (args.batch > std::numeric_limits<std::int32_t>::max()) {
    throw Error(ErrorCode::unsupported,
                fmt::format("batch = {}: at most 2^31 - 1 sequences", args.batch));
  }
  const std::int64_t heads = std::max(call.spec.q_heads, call.spec.kv_heads);
  std::int64_t rows = 0;
  if (__builtin_mul_overflow(call.sequences * heads, args.seq, &rows) || rows > kMostRows) {
    throw Error(ErrorCode::unsupported,
                fmt::format("batch = {}, seq = {}: at most 2^40 rows (tokens x heads) in one call",
                            args.batch, args.seq));
  }
}

bool is_at_multiple(const void* pointer, std::size_t power_of_two) {
  return is_multiple(reinterpret_cast<std::uintptr_t>(pointer), power_of_two);
}

void check_tensor(const NamedTensor& named, std::int64_t element_bytes) {
  const Tensor& tensor = named.tensor;
  if (!is_at_multiple(tensor.data, static_cast<std::size_t>(element_bytes))) {
    refuse(fmt::format("{}.data = {}: must be aligned to its {}-byte elements", named.name,
                       fmt::ptr(tensor.data), element_bytes));
  }
}

void check_pair(const NamedTensor& in, const NamedTensor& out, std::int64_t element_bytes) {
  if ((in.tensor.data == nullptr) != (out.tensor.data == nullptr)) {
    const bool lacks_out = out.tensor.data == nullptr;
    refuse(fmt::format("{}.data = null while {}.data is given: both or neither (in place: {} = {})",
                       lacks_out ? out.name : in.name, lacks_out ? in.name : out.name, out.name,
                       in.name));
  }
  if (in.tensor.data == nullptr) return;
  check_tensor(in, element_bytes);
  check_tensor(out, element_bytes);
}

/// stride x (count - 1). Refuses what leaves the address space, so that no product of an index and
/// a stride in bytes overflows.
std::int64_t reach(const char* tensor, const char* stride_name, std::int64_t stride,
                   std::int64_t count) {
  constexpr std::int64_t kFarthest = std::int64_t{1} << 56;
  std::int64_t result = 0;
  const bool overflows = __builtin_mul_overflow(stride, count - 1, &result);
  if (!overflows && result <= kFarthest && result >= -kFarthest) return result;
  refuse(fmt::format("{}{} = {}: times {}, the last index, it must stay within 2^56 elements",
                     tensor, stride_name, stride, count - 1));
}

/// The bytes from a tensor's first element in memory to the end of its last.
std::int64_t span_bytes(const Call& call, const NamedTensor& named) {
  const Tensor& tensor = named.tensor;
  if (tensor.data == nullptr) return 0;
  const auto length = [](std::int64_t n) { return n < 0 ? -n : n; };
  const std::int64_t elements =
      length(reach(named.name, ".stride_batch", tensor.stride_batch, call.sequences)) +
      length(reach(named.name, ".stride_seq", tensor.stride_seq, call.args.seq)) +
      length(reach(named.name, ".stride_head", tensor.stride_head, named.heads)) +
      length(reach(named.name, ".stride_dim", tensor.stride_dim, call.spec.head_dim));
  return call.element * (elements + 1);
}

/// Elements side by side are one run of bytes; else each is a run of its own.
Region region_of(const Call& call, const NamedTensor& named) {
  const Tensor& tensor = named.tensor;
  const std::int64_t run = tensor.stride_dim == 1 ? call.spec.head_dim : 1;  // elements
  Region region;
  region.base = reinterpret_cast<std::uintptr_t>(tensor.data);
  region.counts = {call.sequences, call.args.seq, named.heads, call.spec.head_dim / run};
  region.strides = {tensor.stride_batch, tensor.stride_seq, tensor.stride_head, tensor.stride_dim};
  for (std::size_t i = 0; i < region.counts.size(); ++i) {
    region.strides[i] = region.counts[i] == 1 ? 0 : region.strides[i] * call.element;
  }
  region.run_bytes = run * call.element;
  return region;
}

/// Whether an output is its own input: the same elements at the same places.
bool same_view(const Call& call, const NamedTensor& in, const NamedTensor& out) {
  if (in.tensor == out.tensor) return true;
  return region_of(call, in) == region_of(call, out);
}

void check_disjoint(const Call& call, const NamedTensor& out, const NamedTensor& other) {
  if (!overlap(region_of(call, out), region_of(call, other))) return;
  refuse(
      fmt::format("{}.data = {}: overlaps {} (data = {}); an output must be disjoint from every "
                  "other tensor of the call, or be its own input (same data and strides: in place)",
                  out.name, fmt::ptr(out.tensor.data), other.name, fmt::ptr(other.tensor.data)));
}

void check_distinct_elements(const Call& call, const NamedTensor& out) {
  if (!overlaps_itself(region_of(call, out))) return;
  refuse(
      fmt::format("{}: its strides (batch {}, seq {}, head {}, dim {}) make elements share memory",
                  out.name, out.tensor.stride_batch, out.tensor.stride_seq, out.tensor.stride_head,
                  out.tensor.stride_dim));
}

/// Returns the bytes from the first to the end of the tensor that reaches farthest.
std::int64_t check_overlaps(const Call& call) {
  const RopeSpec& spec = call.spec;
  const RopeArgs& args = call.args;
  const NamedTensor q{"q", args.q, spec.q_heads}, q_out{"q_out", args.q_out, spec.q_heads};
  const NamedTensor k{"k", args.k, spec.kv_heads}, k_out{"k_out", args.k_out, spec.kv_heads};
  const bool has_q = args.q.data != nullptr, has_k = args.k.data != nullptr;
  const std::int64_t farthest = std::max(
      {span_bytes(call, q), span_bytes(call, k), span_bytes(call, q_out), span_bytes(call, k_out)});
  const bool q_in_place = has_q && same_view(call, q, q_out);
  const bool k_in_place = has_k && same_view(call, k, k_out);
  if (has_q) check_distinct_elements(call, q_out);
  if (has_k) check_distinct_elements(call, k_out);
  if (has_q && has_k) check_disjoint(call, q_out, k);
  if (has_q && !q_in_place) {  // else the pairs with q are those with q_out
    check_disjoint(call, q_out, q);
    if (has_k) check_disjoint(call, k_out, q);
  }
  if (has_k && !k_in_place) {
    check_disjoint(call, k_out, k);
    if (has_q) check_disjoint(call, q_out, k_out);
  }
  return farthest;
}

void check_index_pointer(const char* name, const void* pointer, IndexType type) {
  if (!is_at_multiple(pointer, size_of(type))) {
    refuse(fmt::format("{} = {}: must be aligned to its {}-byte integers", name, fmt::ptr(pointer),
                       size_of(type)));
  }
}

void check_positions(const RopeSpec& spec, const RopeArgs& args) {
  const bool takes_positions = spec.positions != PositionMode::offset;
  const bool needs_positions = takes_positions && spec.positions != PositionMode::ragged;
  if (needs_positions && args.positions == nullptr) {
    refuse(fmt::format("positions = null: position mode {} needs them", name(spec.positions)));
  }
  if (!takes_positions && args.positions != nullptr) {
    refuse(fmt::format("positions = {}: position mode offset takes none, but an `offset`",
                       fmt::ptr(args.positions)));
  }
  if (takes_positions && args.offset != 0) {
    refuse(
        fmt::format("offset = {}: position mode {} takes none", args.offset, name(spec.positions)));
  }
  if ((spec.positions == PositionMode::ragged) != (args.cu_seqlens != nullptr)) {
    refuse(args.cu_seqlens == nullptr
               ? std::string("cu_seqlens = null: position mode ragged needs it")
               : fmt::format("cu_seqlens = {}: position mode {} takes none",
                             fmt::ptr(args.cu_seqlens), name(spec.positions)));
  }
  check_index_pointer("positions", args.positions, spec.index_type);
  check_index_pointer("cu_seqlens", args.cu_seqlens, spec.index_type);
  if (spec.positions == PositionMode::token_ids && args.position_stride_batch) {
    reach("", "position_stride_batch", *args.position_stride_batch, args.batch);
  }
}

void check_table(const RopeSpec& spec, const CosSinTable& table) {
  if (spec.angles == AngleSource::exact) {
    if (table.cos != nullptr || table.sin != nullptr) {
      refuse(fmt::format("table.cos = {}, table.sin = {}: angle source exact takes none",
                         fmt::ptr(table.cos), fmt::ptr(table.sin)));
    }
    return;
  }
  for (const auto& [field, pointer] : {std::pair{"cos", table.cos}, std::pair{"sin", table.sin}}) {
    if (pointer == nullptr)
      refuse(fmt::format("table.{} = null: angle source table needs it", field));
    if (!is_at_multiple(pointer, alignof(float))) {
      refuse(fmt::format("table.{} = {}: must be aligned to 4 bytes", field, fmt::ptr(pointer)));
    }
  }
  if (table.rows < 0) refuse(fmt::format("table.rows = {}: must not be negative", table.rows));
  if (table.columns < spec.rotary() / 2) {
    refuse(fmt::format("table.columns = {}: must be at least rotary_dim / 2 = {}", table.columns,
                       spec.rotary() / 2));
  }
  if (table.rows > 1 && table.row_stride < table.columns) {
    refuse(fmt::format("table.row_stride = {}: must be at least table.columns = {}",
                       table.row_stride, table.columns));
  }
  if (table.rows > 1) reach("table", ".row_stride", table.row_stride, table.rows);
}

}  // namespace

CallFacts check_closely(const RopeSpec& spec, const RopeArgs& args) {
  check_counts(args);
  if (args.batch == 0 || args.seq == 0) return {};
  const Call call(spec, args);
  check_sizes(call);
  check_pair({"q", args.q, spec.q_heads}, {"q_out", args.q_out, spec.q_heads}, call.element);
  check_pair({"k", args.k, spec.kv_heads}, {"k_out", args.k_out, spec.kv_heads}, call.element);
  if (args.q.data == nullptr && args.k.data == nullptr) {
    refuse("q.data = null and k.data = null: at least one of them must be given");
  }
  const std::int64_t farthest = check_overlaps(call);
  check_positions(spec, args);
  check_table(spec, args.table);
  return {call.sequences * args.seq, farthest, address_bits(spec, args)};
}

CallFacts check_args(const RopeSpec& spec, const RopeArgs& args) {
  std::optional<CallFacts> facts = plain_facts(spec, args);
  if (!facts) return check_closely(spec, args);
  check_positions(spec, args);
  check_table(spec, args.table);
  facts->bits.table = table_bits(args.table);
  return *facts;
}

}  // namespace ropejit
