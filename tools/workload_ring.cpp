#include "tools/workload_ring.h"

#include <algorithm>
#include <random>
#include <span>
#include <utility>

#include "src/rounding.h"

namespace ropejit {
namespace {

constexpr std::size_t kPatternElements = std::size_t{1} << 17;
constexpr std::size_t kAlignment = 256;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::int64_t heads_per_token(const Workload& workload, int heads) {
  return workload.strides == Strides::padded ? heads + 1 : heads;
}

/// The bytes that one of q and k takes, rounded up.
std::size_t tensor_bytes(const Workload& workload, int heads) {
  const std::int64_t elements =
      workload.tokens * heads_per_token(workload, heads) * workload.spec.head_dim;
  return aligned(static_cast<std::size_t>(elements) * size_of(workload.spec.dtype));
}

/// The bytes of q and k together.
std::size_t set_bytes(const Workload& workload) {
  return tensor_bytes(workload, workload.spec.q_heads) +
         tensor_bytes(workload, workload.spec.kv_heads);
}

std::size_t sets_of(const Workload& workload, std::int64_t l2_bytes) {
  const std::size_t bytes = set_bytes(workload);
  return ring_sets(static_cast<std::int64_t>(workload.in_place ? bytes : 2 * bytes), l2_bytes);
}

std::vector<std::byte> random_elements(Dtype dtype) {
  std::mt19937 generator(20260101);
  std::normal_distribution<float> normal;
  std::vector<std::byte> bytes(kPatternElements * size_of(dtype));
  for (std::size_t i = 0; i < kPatternElements; ++i) {
    store_element(dtype, bytes.data() + i * size_of(dtype), static_cast<double>(normal(generator)));
  }
  return bytes;
}

/// Fills `buffer` with repetitions of `pattern`, which must outlive the device's work.
void fill(const Device& device, const DeviceBuffer& buffer, std::span<const std::byte> pattern) {
  auto* data = static_cast<std::byte*>(buffer.data());
  std::size_t filled = std::min(pattern.size(), buffer.size());
  device.copy_to_device(data, pattern.data(), filled);
  while (filled < buffer.size()) {
    const std::size_t more = std::min(filled, buffer.size() - filled);
    device.copy_async(data + filled, data, more, nullptr);
    filled += more;
  }
}

DeviceBuffer upload(const Device& device, const void* data, std::size_t bytes) {
  DeviceBuffer buffer = device.allocate(bytes);
  device.copy_to_device(buffer.data(), data, bytes);
  return buffer;
}

/// Indices as the spec's type.
DeviceBuffer upload(const Device& device, const std::vector<std::int64_t>& values, IndexType type) {
  if (type == IndexType::int64) {
    return upload(device, values.data(), values.size() * sizeof(std::int64_t));
  }
  std::vector<std::int32_t> narrow;
  for (const std::int64_t value : values) narrow.push_back(static_cast<std::int32_t>(value));
  return upload(device, narrow.data(), narrow.size() * sizeof(std::int32_t));
}

Tensor view(const Workload& workload, void* data, int heads) {
  const int head_dim = workload.spec.head_dim;
  if (workload.strides == Strides::bhsd) return dense_bhsd(data, workload.tokens, heads, head_dim);
  Tensor tensor = dense_bshd(data, workload.tokens, heads, head_dim);
  tensor.stride_seq = heads_per_token(workload, heads) * head_dim;
  tensor.stride_batch = tensor.stride_seq * workload.tokens;
  return tensor;
}

/// In place a factor would be applied again and again, until nothing but infinities or zeros is
/// left.
Workload without_growth(Workload workload) {
  if (workload.in_place) workload.frequencies.attention_factor = 1;
  return workload;
}

}  // namespace

std::int64_t ring_bytes(const Workload& workload, std::int64_t l2_bytes) noexcept {
  const std::size_t sets = sets_of(workload, l2_bytes);
  const std::int64_t table = workload.spec.angles == AngleSource::table
                                 ? position_count(workload) * workload.spec.rotary() *
                                       static_cast<std::int64_t>(sizeof(float))
                                 : 0;
  const std::size_t bytes =
      std::max(set_bytes(workload), static_cast<std::size_t>(bytes_moved(workload) / 2));
  return static_cast<std::int64_t>(2 * sets * bytes) + table;
}

WorkloadRing::WorkloadRing(std::shared_ptr<const Device> device, const Workload& workload)
    : device_(std::move(device)), workload_(without_growth(workload)) {
  validate(workload_);
  const RopeSpec& spec = workload_.spec;
  const std::size_t count = sets_of(workload_, device_->info().l2_bytes);
  for (std::size_t set = 0; set < count; ++set) {
    // A copy of as many bytes as the call moves has room, also where those include a table's.
    const std::size_t bytes = std::max(set_bytes(workload_), copy_bytes());
    inputs_.push_back(device_->allocate(bytes));
    outputs_.push_back(device_->allocate(bytes));
  }
  fill_sets();

  positions_ = upload(*device_, positions_of(workload_), spec.index_type);
  cu_seqlens_ = upload(*device_, cu_seqlens_of(workload_), spec.index_type);
  if (spec.angles == AngleSource::table) {
    const std::vector<float> table = table_of(workload_);
    table_ = upload(*device_, table.data(), table.size() * sizeof(float));
  } else {
    const std::vector<std::uint64_t>& turns = workload_.frequencies.turns;
    turns_ = upload(*device_, turns.data(), turns.size() * sizeof(std::uint64_t));
  }
  device_->synchronize();  // copies from pageable memory may still be under way
  for (std::size_t set = 0; set < count; ++set) args_.push_back(args_of_set(set));
}

void WorkloadRing::fill_sets() {
  const std::vector<std::byte> numbers = random_elements(workload_.spec.dtype);
  const std::span<const std::byte> pattern = numbers;
  for (const DeviceBuffer& buffer : inputs_) fill(*device_, buffer, pattern);
  // Other numbers, so that a call always changes what it writes to.
  for (const DeviceBuffer& buffer : outputs_) fill(*device_, buffer, pattern.subspan(kAlignment));
  device_->synchronize();
}

RopeArgs WorkloadRing::args_of_set(std::size_t set) const {
  const RopeSpec& spec = workload_.spec;
  const std::size_t q_bytes = tensor_bytes(workload_, spec.q_heads);
  auto* const in = static_cast<std::byte*>(inputs_[set].data());
  auto* const out = workload_.in_place ? in : static_cast<std::byte*>(outputs_[set].data());
  RopeArgs args;
  args.q = view(workload_, in, spec.q_heads);
  args.k = view(workload_, in + q_bytes, spec.kv_heads);
  args.q_out = view(workload_, out, spec.q_heads);
  args.k_out = view(workload_, out + q_bytes, spec.kv_heads);
  args.seq = workload_.tokens;
  args.positions = positions_.data();
  if (spec.positions == PositionMode::ragged) {
    args.batch = sequences_of(workload_);
    args.cu_seqlens = cu_seqlens_.data();
  }
  if (spec.angles == AngleSource::table) {
    const std::int64_t rows = position_count(workload_);
    const std::int64_t pairs = spec.rotary() / 2;
    const auto* cosines = static_cast<const float*>(table_.data());
    args.table = {cosines, cosines + rows * pairs, rows, pairs, pairs};
  }
  return args;
}

}  // namespace ropejit
