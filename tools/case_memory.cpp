#include "tools/case_memory.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#include "ropejit/reference.h"
#include "src/rounding.h"

namespace ropejit {
namespace {

/// Unused bytes before and after whatever lies in a block.
constexpr std::size_t kGuard = 4096;

struct Strides {
  std::int64_t batch, seq, head;
  std::int64_t dim = 1;
};

/// Of a tensor of `heads` heads; `row_heads` counts those of a whole token in the packed buffer.
Strides strides_of(const VerifyCase& test, Placement placement, bool is_k, std::int64_t heads,
                   std::int64_t row_heads) {
  const std::int64_t dim = test.spec.head_dim, batch = tensor_batch(test), seq = test.seq;
  const std::int64_t padding = test.padding;
  switch (placement) {
    case Placement::bshd:
      return {seq * heads * dim, heads * dim, dim};
    case Placement::bhsd:
      return {heads * seq * dim, dim, seq * dim};
    case Placement::sbhd:
      return {heads * dim, batch * heads * dim, dim};
    case Placement::packed:
      return {seq * row_heads * dim, row_heads * dim, dim};
    case Placement::padded: {
      const std::int64_t token = heads * (dim + padding) + padding;
      return {seq * token + padding, token, dim + padding};
    }
    case Placement::reversed:
      return {seq * heads * dim, -heads * dim, dim};
    case Placement::broadcast:
      return is_k ? Strides{seq * dim, dim, 0} : Strides{heads * dim, 0, dim};
    case Placement::spaced:
      return {2 * seq * heads * dim, 2 * heads * dim, 2 * dim, 2};
    case Placement::flipped:
      return {seq * heads * dim, heads * dim, dim, -1};
    case Placement::transposed:
      return {seq * heads * dim, heads * dim, 1, heads};
  }
  return {};
}

/// The elements that a tensor reaches before its first one, and from its first one on.
struct Reach {
  std::int64_t back;
  std::int64_t ahead;
};

Reach reach_of(const VerifyCase& test, const Strides& strides, std::int64_t heads) {
  Reach reach{0, 1};
  for (const auto& [count, stride] : {std::pair{tensor_batch(test), strides.batch},
                                      {test.seq, strides.seq},
                                      {heads, strides.head},
                                      {test.spec.head_dim, strides.dim}}) {
    const std::int64_t span = std::max<std::int64_t>(count - 1, 0) * stride;
    (span < 0 ? reach.back : reach.ahead) += std::abs(span);
  }
  return reach;
}

/// Makes the blocks of a case.
class Layouter {
 public:
  Layouter(const VerifyCase& test, CaseMemory& memory) : test_(test), memory_(memory) {}

  /// q and k, where they are present, as `placement` says.
  void place(Placement placement, std::optional<PlacedTensor>& q, std::optional<PlacedTensor>& k) {
    const bool packed = placement == Placement::packed;
    const std::int64_t row_heads = test_.spec.q_heads + 2 * std::int64_t{test_.spec.kv_heads};
    std::optional<std::size_t> block;
    if (packed) {
      const Strides all = strides_of(test_, placement, false, row_heads, row_heads);
      block = new_tensor_block(reach_of(test_, all, row_heads));
    }
    if (test_.has_q) q = place_one(placement, false, test_.spec.q_heads, row_heads, block);
    if (test_.has_k) k = place_one(placement, true, test_.spec.kv_heads, row_heads, block);
    if (packed && k) k->first.byte += bytes_of(std::int64_t{test_.spec.q_heads} * dim());
  }

  /// A block for `bytes` bytes that start `shift` bytes off a multiple of 256.
  BlockAddress place_bytes(std::size_t bytes, std::size_t shift) {
    memory_.blocks.emplace_back(kGuard + shift + bytes + kGuard);
    return {memory_.blocks.size() - 1, kGuard + shift};
  }

 private:
  std::int64_t dim() const { return test_.spec.head_dim; }
  std::size_t bytes_of(std::int64_t elements) const {
    return static_cast<std::size_t>(elements) * size_of(test_.spec.dtype);
  }

  std::size_t new_tensor_block(const Reach& reach) {
    memory_.blocks.emplace_back(2 * kGuard + 256 +
                                bytes_of(reach.back + test_.base_offset + reach.ahead));
    return memory_.blocks.size() - 1;
  }

  PlacedTensor place_one(Placement placement, bool is_k, int heads, std::int64_t row_heads,
                         std::optional<std::size_t> block) {
    const Strides strides = strides_of(test_, placement, is_k, heads, row_heads);
    const Reach reach = reach_of(test_, strides, heads);
    if (!block) block = new_tensor_block(reach);
    // The first element itself, not the lowest, is on the boundary.
    const std::size_t back = (bytes_of(reach.back) + 255) / 256 * 256;
    return {{*block, kGuard + back + bytes_of(test_.base_offset)},
            strides.batch,
            strides.seq,
            strides.head,
            strides.dim,
            heads};
  }

  const VerifyCase& test_;
  CaseMemory& memory_;
};

void fill_with_pattern(CaseMemory& memory) {
  for (std::size_t block = 0; block < memory.blocks.size(); ++block) {
    std::byte* data = memory.blocks[block].data();
    for (std::size_t i = 0; i < memory.blocks[block].size(); ++i) {
      data[i] = static_cast<std::byte>(i * 167 + (i >> 8) * 29 + block * 59 + 13);
    }
  }
}

/// Random numbers that are the same everywhere (splitmix64 of Steele, Lea and Flood 2014).
class Random {
 public:
  explicit Random(std::string_view seed) {
    for (const char c : seed) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }

  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// Nearly normal with variance 1: the sum of four uniform numbers.
  double normal() {
    const std::uint64_t z = bits();
    const auto part = [&](int i) { return static_cast<double>((z >> (16 * i)) & 0xffff); };
    return ((part(0) + part(1) + part(2) + part(3)) * 0x1p-16 - 2) * 1.7320508075688772;
  }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

double special_value(std::uint64_t choice) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return choice == 0 ? kInfinity : choice == 1 ? -kInfinity : std::nan("");
}

double random_element(const VerifyCase& test, Random& random) {
  const std::uint64_t choice = random.bits() % 64;
  const double normal = random.normal();
  if (choice == 0) return 0;
  if (choice == 1) return -0.0;
  if (choice < 4 && test.spec.dtype == Dtype::float16) return normal * 0x1p-16;  // subnormal
  if (choice < 12) {  // a magnitude from 1e-3 to 1e3, decades alike
    return normal * std::pow(10.0, static_cast<double>(random.bits() % 61) / 10 - 3);
  }
  if (choice == 63 && test.special_values) return special_value(random.bits() % 3);
  return normal;
}

void fill_tensor(const VerifyCase& test, CaseMemory& memory, const PlacedTensor& tensor,
                 Random& random) {
  for (std::int64_t b = 0; b < tensor_batch(test); ++b) {
    for (std::int64_t s = 0; s < test.seq; ++s) {
      for (int head = 0; head < tensor.heads; ++head) {
        for (int d = 0; d < test.spec.head_dim; ++d) {
          const BlockAddress to = element_address(test, tensor, b, s, head, d);
          store_element(test.spec.dtype, memory.blocks[to.block].data() + to.byte,
                        random_element(test, random));
        }
      }
    }
  }
}

std::optional<BlockAddress> place_indices(const VerifyCase& test, CaseMemory& memory,
                                          const std::vector<std::int64_t>& values) {
  if (test.spec.positions == PositionMode::offset || values.empty()) return std::nullopt;
  // One index off the boundary: nothing more than its own alignment may be assumed.
  const std::size_t width = size_of(test.spec.index_type);
  return Layouter(test, memory).place_bytes(values.size() * width, width);
}

void fill_indices(const VerifyCase& test, CaseMemory& memory,
                  const std::optional<BlockAddress>& where,
                  const std::vector<std::int64_t>& values) {
  if (!where) return;
  std::byte* to = memory.blocks[where->block].data() + where->byte;
  for (const std::int64_t value : values) {
    if (test.spec.index_type == IndexType::int64) {
      std::memcpy(to, &value, sizeof value);
    } else {
      const auto narrow = static_cast<std::int32_t>(value);
      std::memcpy(to, &narrow, sizeof narrow);
    }
    to += size_of(test.spec.index_type);
  }
}

CosSinTable table_shape(const VerifyCase& test) {
  const std::int64_t pairs = test.spec.rotary() / 2;
  CosSinTable table;
  table.rows = test.table_rows;
  const bool whole = test.table_style == TableStyle::duplicated;
  table.columns = whole ? 2 * pairs : pairs;
  table.row_stride = table.columns;
  if (test.table_style == TableStyle::joined) table.row_stride = 2 * pairs;
  if (test.table_style == TableStyle::unaligned) table.row_stride = pairs | 1;
  return table;
}

void place_table(const VerifyCase& test, CaseMemory& memory) {
  if (test.spec.angles != AngleSource::table) return;
  const CosSinTable table = table_shape(test);
  const auto bytes =
      static_cast<std::size_t>(table.rows * table.row_stride) * sizeof(float) + sizeof(float);
  const std::size_t shift = test.table_style == TableStyle::unaligned ? sizeof(float) : 0;
  Layouter layouter(test, memory);
  memory.cos = layouter.place_bytes(bytes, shift);
  memory.sin = memory.cos;
  if (test.table_style == TableStyle::joined) {
    memory.sin->byte += static_cast<std::size_t>(table.columns) * sizeof(float);
  } else {
    memory.sin = layouter.place_bytes(bytes, shift);
  }
}

void fill_table(const VerifyCase& test, CaseMemory& memory) {
  if (!memory.cos) return;
  const CosSinTable table = table_shape(test);
  const auto pairs = static_cast<std::size_t>(test.spec.rotary() / 2);
  const std::vector<std::uint64_t> turns =
      test.frequencies.turns.empty() ? default_frequencies(test.spec.rotary(), 10000.0L).turns
                                     : test.frequencies.turns;
  const auto put = [&](const BlockAddress& where, std::int64_t row, std::size_t column, double v) {
    const auto value = static_cast<float>(v);
    const std::size_t at = static_cast<std::size_t>(row * table.row_stride) + column;
    std::memcpy(memory.blocks[where.block].data() + where.byte + at * sizeof value, &value,
                sizeof value);
  };
  for (std::int64_t row = 0; row < table.rows; ++row) {
    for (std::size_t column = 0; column < static_cast<std::size_t>(table.columns); ++column) {
      const CosSin angle = exact_cos_sin(turns[column % pairs], row);
      put(*memory.cos, row, column, angle.cos);
      put(*memory.sin, row, column, angle.sin);
    }
  }
}

Tensor tensor_at(CaseMemory& memory, const std::optional<PlacedTensor>& placed) {
  if (!placed) return {};
  return {.data = memory.blocks[placed->first.block].data() + placed->first.byte,
          .stride_batch = placed->stride_batch,
          .stride_seq = placed->stride_seq,
          .stride_head = placed->stride_head,
          .stride_dim = placed->stride_dim};
}

void* pointer_to(CaseMemory& memory, const std::optional<BlockAddress>& address) {
  return address ? memory.blocks[address->block].data() + address->byte : nullptr;
}

}  // namespace

CaseMemory make_memory(const VerifyCase& test) {
  CaseMemory memory;
  Layouter layouter(test, memory);
  layouter.place(test.in, memory.q, memory.k);
  if (test.in_place) {
    memory.q_out = memory.q;
    memory.k_out = memory.k;
  } else {
    layouter.place(test.out, memory.q_out, memory.k_out);
  }
  memory.positions = place_indices(test, memory, test.positions);
  memory.cu_seqlens = place_indices(test, memory, test.cu_seqlens);
  place_table(test, memory);

  fill_with_pattern(memory);
  Random random(ropejit::describe(test.spec) + std::to_string(test.batch * 1000 + test.seq));
  if (memory.q) fill_tensor(test, memory, *memory.q, random);
  if (memory.k) fill_tensor(test, memory, *memory.k, random);
  fill_indices(test, memory, memory.positions, test.positions);
  fill_indices(test, memory, memory.cu_seqlens, test.cu_seqlens);
  fill_table(test, memory);
  return memory;
}

RopeArgs args_of(const VerifyCase& test, CaseMemory& memory) {
  RopeArgs args;
  args.q = tensor_at(memory, memory.q);
  args.q_out = tensor_at(memory, memory.q_out);
  args.k = tensor_at(memory, memory.k);
  args.k_out = tensor_at(memory, memory.k_out);
  args.batch = test.batch;
  args.seq = test.seq;
  if (test.spec.positions == PositionMode::offset) args.offset = test.positions.at(0);
  args.positions = pointer_to(memory, memory.positions);
  args.cu_seqlens = pointer_to(memory, memory.cu_seqlens);
  if (test.spec.positions == PositionMode::token_ids) {
    args.position_stride_batch = test.position_stride_batch;
  }
  if (test.spec.angles == AngleSource::table) {
    args.table = table_shape(test);
    args.table.cos = static_cast<const float*>(pointer_to(memory, memory.cos));
    args.table.sin = static_cast<const float*>(pointer_to(memory, memory.sin));
  }
  return args;
}

BlockAddress element_address(const VerifyCase& test, const PlacedTensor& tensor, std::int64_t batch,
                             std::int64_t seq, std::int64_t head, std::int64_t d) noexcept {
  const std::int64_t elements = batch * tensor.stride_batch + seq * tensor.stride_seq +
                                head * tensor.stride_head + d * tensor.stride_dim;
  const std::int64_t bytes = elements * static_cast<std::int64_t>(size_of(test.spec.dtype));
  return {tensor.first.block,
          static_cast<std::size_t>(static_cast<std::int64_t>(tensor.first.byte) + bytes)};
}

}  // namespace ropejit
