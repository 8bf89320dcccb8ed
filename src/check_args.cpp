#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "ropejit/error.h"
#include "src/launch.h"
#include "src/overlap.h"

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
  // A row takes at least one thread of a grid of fewer than 2^31 blocks; 2^40 rows keep every
  // product of counts far from 2^63.
  constexpr std::int64_t kMostRows = std::int64_t{1} << 40;
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

/// `of` is a power of two: no division, which takes as long as a dozen other instructions.
bool is_multiple(const void* pointer, std::size_t of) {
  return (reinterpret_cast<std::uintptr_t>(pointer) & (of - 1)) == 0;
}

void check_tensor(const NamedTensor& named, std::int64_t element_bytes) {
  const Tensor& tensor = named.tensor;
  if (tensor.stride_dim != 1) {
    refuse(fmt::format("{}.stride_dim = {}: the last dimension must be contiguous (stride 1)",
                       named.name, tensor.stride_dim));
  }
  if (!is_multiple(tensor.data, static_cast<std::size_t>(element_bytes))) {
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

/// The bytes from a tensor's first row in memory to the end of its last, and whether its strides
/// are known to nest in the usual order, so that no two rows meet. Enough for nearly every call;
/// for the others there is overlap.h.
struct Span {
  std::int64_t first = 0;
  std::int64_t end = 0;
  std::int64_t token_bytes = 0;     ///< from a token's first row to the end of its last
  std::int64_t sequence_bytes = 0;  ///< from a sequence's first token to its last
  bool nests = true;
};

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

/// Whether no product of these strides and counts can overflow or leave the address space, and none
/// is negative: so it is with nearly every call.
bool is_modest(const Call& call, const Tensor& tensor) {
  const auto strides =
      static_cast<std::uint64_t>(tensor.stride_batch | tensor.stride_seq | tensor.stride_head);
  const auto counts = static_cast<std::uint64_t>(call.sequences | call.args.seq);
  return strides >> 28 == 0 && counts >> 26 == 0;
}

/// As span_of, of a tensor whose strides may be anything.
Span span_of_any(const Call& call, const NamedTensor& named) {
  const Tensor& tensor = named.tensor;
  const std::int64_t batch =
      reach(named.name, ".stride_batch", tensor.stride_batch, call.sequences);
  const std::int64_t seq = reach(named.name, ".stride_seq", tensor.stride_seq, call.args.seq);
  const std::int64_t head = reach(named.name, ".stride_head", tensor.stride_head, named.heads);
  const auto base = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(tensor.data));
  const auto below = [](std::int64_t n) { return std::min<std::int64_t>(n, 0); };
  const auto above = [](std::int64_t n) { return std::max<std::int64_t>(n, 0); };
  return {base + call.element * (below(batch) + below(seq) + below(head)),
          base + call.element * (above(batch) + above(seq) + above(head) + call.spec.head_dim), 0,
          0, false};
}

Span span_of(const Call& call, const NamedTensor& named) {
  const Tensor& tensor = named.tensor;
  if (!is_modest(call, tensor)) return span_of_any(call, named);
  const std::int64_t head_dim = call.spec.head_dim;
  const std::int64_t seq = tensor.stride_seq * (call.args.seq - 1);
  const std::int64_t token = tensor.stride_head * (named.heads - 1) + head_dim;
  const std::int64_t all = tensor.stride_batch * (call.sequences - 1) + seq + token;
  const auto base = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(tensor.data));
  const bool nests = (named.heads == 1 || tensor.stride_head >= head_dim) &&
                     (call.args.seq == 1 || tensor.stride_seq >= token) &&
                     (call.sequences == 1 || tensor.stride_batch >= seq + token);
  return {base, base + call.element * all, call.element * token, call.element * seq, nests};
}

/// As span_of, where the span of another tensor is known: most outputs have their input's strides.
Span span_like(const Call& call, const NamedTensor& named, const NamedTensor& other,
               const Span& at_other) {
  const bool same_strides = named.tensor.stride_batch == other.tensor.stride_batch &&
                            named.tensor.stride_seq == other.tensor.stride_seq &&
                            named.tensor.stride_head == other.tensor.stride_head;
  if (!same_strides) return span_of(call, named);
  const auto base = [](const Tensor& tensor) {
    return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(tensor.data));
  };
  Span span = at_other;
  span.first += base(named.tensor) - base(other.tensor);
  span.end += base(named.tensor) - base(other.tensor);
  return span;
}

Region region_of(const Call& call, const NamedTensor& named) {
  const Tensor& tensor = named.tensor;
  Region region;
  region.base = reinterpret_cast<std::uintptr_t>(tensor.data);
  region.counts = {call.sequences, call.args.seq, named.heads};
  region.strides = {tensor.stride_batch, tensor.stride_seq, tensor.stride_head};
  for (std::size_t i = 0; i < 3; ++i) {
    region.strides[i] = region.counts[i] == 1 ? 0 : region.strides[i] * call.element;
  }
  region.row_bytes = call.spec.head_dim * call.element;
  return region;
}

/// Whether an output is its own input: the same rows at the same places.
bool same_view(const Call& call, const NamedTensor& in, const NamedTensor& out) {
  if (in.tensor == out.tensor) return true;
  if (in.tensor.data != out.tensor.data) return false;
  return region_of(call, in).strides == region_of(call, out).strides;
}

/// Whether two tensors are slices of one packed buffer: their tokens alternate, none within
/// another.
bool alternate(const Call& call, const NamedTensor& a, const Span& at_a, const NamedTensor& b,
               const Span& at_b) {
  const bool same_steps =
      a.tensor.stride_batch == b.tensor.stride_batch && a.tensor.stride_seq == b.tensor.stride_seq;
  if (!same_steps || !at_a.nests || !at_b.nests) return false;
  const bool a_first = at_a.first < at_b.first;
  const Span& lower = a_first ? at_a : at_b;
  const Span& upper = a_first ? at_b : at_a;
  const std::int64_t apart = upper.first - lower.first;
  const std::int64_t both = apart + upper.token_bytes;
  return lower.token_bytes <= apart &&
         (call.args.seq == 1 || both <= a.tensor.stride_seq * call.element) &&
         (call.sequences == 1 ||
          upper.sequence_bytes + both <= a.tensor.stride_batch * call.element);
}

/// The checks of one call's memory, each by spans first and exactly where those leave doubt.
struct Overlaps {
  const Call& call;

  void check_disjoint(const NamedTensor& out, const Span& out_span, const NamedTensor& other,
                      const Span& other_span) const {
    if (out_span.end <= other_span.first || other_span.end <= out_span.first) return;
    if (alternate(call, out, out_span, other, other_span)) return;
    if (!overlap(region_of(call, out), region_of(call, other))) return;
    refuse(fmt::format(
        "{}.data = {}: overlaps {} (data = {}); an output must be disjoint from every "
        "other tensor of the call, or be its own input (same data and strides: in place)",
        out.name, fmt::ptr(out.tensor.data), other.name, fmt::ptr(other.tensor.data)));
  }

  void check_disjoint_rows(const NamedTensor& out, const Span& span) const {
    if (span.nests || !overlaps_itself(region_of(call, out))) return;
    refuse(fmt::format("{}: its strides (batch {}, seq {}, head {}) make rows share memory",
                       out.name, out.tensor.stride_batch, out.tensor.stride_seq,
                       out.tensor.stride_head));
  }
};

/// Returns the bytes from the first to the end of the tensor that reaches farthest.
std::int64_t check_overlaps(const Call& call) {
  const RopeSpec& spec = call.spec;
  const RopeArgs& args = call.args;
  const NamedTensor q{"q", args.q, spec.q_heads}, q_out{"q_out", args.q_out, spec.q_heads};
  const NamedTensor k{"k", args.k, spec.kv_heads}, k_out{"k_out", args.k_out, spec.kv_heads};
  const bool has_q = args.q.data != nullptr, has_k = args.k.data != nullptr;
  const Overlaps overlaps{call};
  const Span at_q = has_q ? span_of(call, q) : Span{};
  const Span at_k = has_k ? span_of(call, k) : Span{};
  const bool q_in_place = has_q && same_view(call, q, q_out);
  const bool k_in_place = has_k && same_view(call, k, k_out);
  const Span at_q_out = q_in_place || !has_q ? at_q : span_like(call, q_out, q, at_q);
  const Span at_k_out = k_in_place || !has_k ? at_k : span_like(call, k_out, k, at_k);
  if (has_q) overlaps.check_disjoint_rows(q_out, at_q_out);
  if (has_k) overlaps.check_disjoint_rows(k_out, at_k_out);
  if (has_q && has_k) overlaps.check_disjoint(q_out, at_q_out, k, at_k);
  if (has_q && !q_in_place) {  // else the pairs with q are those with q_out
    overlaps.check_disjoint(q_out, at_q_out, q, at_q);
    if (has_k) overlaps.check_disjoint(k_out, at_k_out, q, at_q);
  }
  if (has_k && !k_in_place) {
    overlaps.check_disjoint(k_out, at_k_out, k, at_k);
    if (has_q) overlaps.check_disjoint(q_out, at_q_out, k_out, at_k_out);
  }
  const auto bytes = [](const Span& span) { return span.end - span.first; };
  return std::max({bytes(at_q), bytes(at_q_out), bytes(at_k), bytes(at_k_out)});
}

void check_index_pointer(const char* name, const void* pointer, IndexType type) {
  if (!is_multiple(pointer, size_of(type))) {
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
    if (!is_multiple(pointer, alignof(float))) {
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

CallFacts check_args(const RopeSpec& spec, const RopeArgs& args) {
  check_counts(args);
  if (args.batch == 0 || args.seq == 0) return {};
  const Call call(spec, args);
  check_sizes(call);
  check_pair({"q", args.q, spec.q_heads}, {"q_out", args.q_out, spec.q_heads}, call.element);
  check_pair({"k", args.k, spec.kv_heads}, {"k_out", args.k_out, spec.kv_heads}, call.element);
  if (args.q.data == nullptr && args.k.data == nullptr) {
    refuse("q.data = null and k.data = null: at least one of them must be given");
  }
  const std::int64_t span_bytes = check_overlaps(call);
  check_positions(spec, args);
  check_table(spec, args.table);
  return {call.sequences * args.seq, span_bytes};
}

}  // namespace ropejit
