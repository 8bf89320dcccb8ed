#include "src/plain_call.h"

#include <algorithm>

namespace ropejit {
namespace {

constexpr int kCountBits = 26;
constexpr int kStrideBits = 32;
constexpr int kAddressBits = 60;

// All is unsigned, so that what is not plain may wrap before that is known. What is plain does not.

/// What a call's memory depends on besides addresses.
struct CallLayout {
  int head_dim = 0;  ///< 0: of no call
  int q_heads = 0;
  int kv_heads = 0;
  int element = 0;  ///< bytes
  bool ragged = false;
  bool has_q = false;
  bool has_k = false;
  std::int64_t batch = 0;
  std::int64_t seq = 0;
  Tensor q{}, q_out{}, k{}, k_out{};  ///< their strides

  CallLayout() = default;
  CallLayout(const RopeSpec& spec, const RopeArgs& args)
      : head_dim(spec.head_dim),
        q_heads(spec.q_heads),
        kv_heads(spec.kv_heads),
        element(static_cast<int>(size_of(spec.dtype))),
        ragged(spec.positions == PositionMode::ragged),
        has_q(args.q.data != nullptr),
        has_k(args.k.data != nullptr),
        batch(args.batch),
        seq(args.seq),
        q(args.q),
        q_out(args.q_out),
        k(args.k),
        k_out(args.k_out) {}
};

/// Every call pays for this: it has no jumps.
inline bool same_strides(const Tensor& a, const Tensor& b) {
  return ((a.stride_batch ^ b.stride_batch) | (a.stride_seq ^ b.stride_seq) |
          (a.stride_head ^ b.stride_head) | (a.stride_dim ^ b.stride_dim)) == 0;
}

/// And for this.
inline bool is_of(const CallLayout& layout, const RopeSpec& spec, const RopeArgs& args) {
  return (layout.head_dim == spec.head_dim) & (layout.q_heads == spec.q_heads) &
         (layout.kv_heads == spec.kv_heads) &
         (layout.element == static_cast<int>(size_of(spec.dtype))) &
         (layout.ragged == (spec.positions == PositionMode::ragged)) &
         (layout.has_q == (args.q.data != nullptr)) & (layout.has_k == (args.k.data != nullptr)) &
         (layout.batch == args.batch) & (layout.seq == args.seq) & same_strides(layout.q, args.q) &
         same_strides(layout.q_out, args.q_out) & same_strides(layout.k, args.k) &
         same_strides(layout.k_out, args.k_out);
}

/// Of every tensor of a call.
struct Counts {
  std::uint64_t sequences;
  std::uint64_t tokens;  ///< of a sequence
  std::uint64_t head_dim;
};

/// How a tensor's rows lie, in elements. Strides along one element are 0.
struct Rows {
  std::uint64_t batch_stride = 0;
  std::uint64_t seq_stride = 0;
  std::uint64_t head_stride = 0;
  std::uint64_t token = 0;     ///< from a token's first row to the end of its last
  std::uint64_t sequence = 0;  ///< from a sequence's first token to its last
  std::uint64_t all = 0;       ///< from the first row to the end of the last
  bool nest = true;

  std::uint64_t strides() const { return batch_stride | seq_stride | head_stride; }
  bool operator==(const Rows&) const = default;
};

Rows rows_of(const Counts& counts, const Tensor& tensor, int head_count) {
  const auto stride = [](std::uint64_t count, std::int64_t elements) {
    return count == 1 ? 0 : static_cast<std::uint64_t>(elements);
  };
  const auto heads = static_cast<std::uint64_t>(head_count);
  Rows rows;
  rows.batch_stride = stride(counts.sequences, tensor.stride_batch);
  rows.seq_stride = stride(counts.tokens, tensor.stride_seq);
  rows.head_stride = stride(heads, tensor.stride_head);
  rows.token = rows.head_stride * (heads - 1) + counts.head_dim;
  rows.sequence = rows.seq_stride * (counts.tokens - 1);
  rows.all = rows.batch_stride * (counts.sequences - 1) + rows.sequence + rows.token;
  rows.nest = rows.strides() >> kStrideBits == 0 && tensor.stride_dim == 1 &&
              (heads == 1 || rows.head_stride >= counts.head_dim) &&
              (counts.tokens == 1 || rows.seq_stride >= rows.token) &&
              (counts.sequences == 1 || rows.batch_stride >= rows.sequence + rows.token);
  return rows;
}

/// Distances in bytes from one tensor to another at which the tokens of the two alternate, none
/// within another, as those of slices of a packed buffer do. None where least > most.
struct Alternation {
  std::uint64_t least = 1;
  std::uint64_t most = 0;
  bool holds(std::uint64_t distance) const { return (least <= distance) & (distance <= most); }
};

Alternation alternation(const Counts& counts, const Rows& lower, const Rows& upper,
                        std::uint64_t element) {
  if (lower.batch_stride != upper.batch_stride || lower.seq_stride != upper.seq_stride) return {};
  std::uint64_t most = std::uint64_t{1} << kAddressBits;
  if (counts.tokens > 1) most = std::min(most, upper.seq_stride - upper.token);
  if (counts.sequences > 1) {
    most = std::min(most, upper.batch_stride - upper.sequence - upper.token);
  }
  return {lower.token * element, most * element};
}

/// What follows from a layout, in bytes.
struct LayoutFacts {
  bool plain = false;
  bool q_alike = false;  ///< the strides of input and output agree
  bool k_alike = false;
  std::uint64_t q = 0, q_out = 0, k = 0, k_out = 0;  ///< from the first row to the end of the last
  Alternation k_behind_q;  ///< of the outputs, to which inputs that are the same agree
  Alternation q_behind_k;
  std::uint64_t tokens = 0;
  std::uint64_t farthest = 0;  ///< of the four
  std::uint64_t stride_bits = 0;
};

LayoutFacts facts_of(const CallLayout& layout) {
  LayoutFacts facts;
  const std::uint64_t beyond =
      (static_cast<std::uint64_t>(layout.batch) - 1) | (static_cast<std::uint64_t>(layout.seq) - 1);
  if (beyond >> kCountBits != 0 || !(layout.has_q || layout.has_k)) return facts;
  const Counts counts{static_cast<std::uint64_t>(layout.ragged ? 1 : layout.batch),
                      static_cast<std::uint64_t>(layout.seq),
                      static_cast<std::uint64_t>(layout.head_dim)};
  facts.tokens = counts.sequences * counts.tokens;
  const auto heads = static_cast<std::uint64_t>(std::max(layout.q_heads, layout.kv_heads));
  if (facts.tokens * heads > std::uint64_t{kMostRows}) return facts;

  const auto rows = [&](bool present, const Tensor& tensor, int head_count) {
    return present ? rows_of(counts, tensor, head_count) : Rows{};
  };
  const Rows q = rows(layout.has_q, layout.q, layout.q_heads);
  const Rows q_out = rows(layout.has_q, layout.q_out, layout.q_heads);
  const Rows k = rows(layout.has_k, layout.k, layout.kv_heads);
  const Rows k_out = rows(layout.has_k, layout.k_out, layout.kv_heads);
  const auto element = static_cast<std::uint64_t>(layout.element);
  facts.plain = q.nest && q_out.nest && k.nest && k_out.nest;
  facts.q_alike = q == q_out;
  facts.k_alike = k == k_out;
  facts.q = q.all * element;
  facts.q_out = q_out.all * element;
  facts.k = k.all * element;
  facts.k_out = k_out.all * element;
  facts.k_behind_q = alternation(counts, q_out, k_out, element);
  facts.q_behind_k = alternation(counts, k_out, q_out, element);
  facts.farthest = std::max({facts.q, facts.q_out, facts.k, facts.k_out});
  facts.stride_bits = (q.strides() | q_out.strides() | k.strides() | k_out.strides()) * element;
  return facts;
}

/// Neither of the spans [a, a + a_bytes) and [b, b + b_bytes) reaches into the other.
inline bool apart(std::uint64_t a, std::uint64_t a_bytes, std::uint64_t b, std::uint64_t b_bytes) {
  return (a + a_bytes <= b) | (b + b_bytes <= a);
}

/// Whether the tensors may lie at these addresses.
inline bool placed_well(const LayoutFacts& facts, std::uint64_t q, std::uint64_t q_out,
                        std::uint64_t k, std::uint64_t k_out) {
  const bool q_in_place = (q == q_out) & facts.q_alike;
  const bool k_in_place = (k == k_out) & facts.k_alike;
  if (!(q_in_place | apart(q_out, facts.q_out, q, facts.q))) return false;
  if (!(k_in_place | apart(k_out, facts.k_out, k, facts.k))) return false;
  const bool all_apart = apart(q_out, facts.q_out, k_out, facts.k_out) &
                         apart(q_out, facts.q_out, k, facts.k) &
                         apart(k_out, facts.k_out, q, facts.q);
  if (all_apart) return true;
  return q_in_place & k_in_place & (facts.k_behind_q.holds(k - q) | facts.q_behind_k.holds(q - k));
}

}  // namespace

std::optional<CallFacts> plain_facts(const RopeSpec& spec, const RopeArgs& args) noexcept {
  // Calls follow each other with the same strides, layer after layer and step after step.
  thread_local CallLayout layout;
  thread_local LayoutFacts facts;
  if (!is_of(layout, spec, args)) {
    layout = CallLayout(spec, args);
    facts = facts_of(layout);
  }
  const auto address = [](const Tensor& tensor) {
    return std::uint64_t{reinterpret_cast<std::uintptr_t>(tensor.data)};
  };
  const std::uint64_t q = address(args.q), q_out = address(args.q_out);
  const std::uint64_t k = address(args.k), k_out = address(args.k_out);
  const std::uint64_t addresses = q | q_out | k | k_out;
  const bool plain = facts.plain & ((q == 0) == (q_out == 0)) & ((k == 0) == (k_out == 0)) &
                     (addresses >> kAddressBits == 0) & is_multiple(addresses, size_of(spec.dtype));
  if (!plain || !placed_well(facts, q, q_out, k, k_out)) return {};
  CallFacts result;
  result.tokens = static_cast<std::int64_t>(facts.tokens);
  result.span_bytes = static_cast<std::int64_t>(facts.farthest);
  result.bits.tensors = addresses | facts.stride_bits;
  return result;
}

}  // namespace ropejit
