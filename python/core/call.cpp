#include "core/call.h"

#include <algorithm>
#include <limits>

namespace ropejit::python {
namespace {

bool has_table_per_sequence(const Call& call) {
  return call.cos && call.cos->ndim() == 3 && call.cos->shape(0) != 1;
}

Tensor tensor_of(const std::optional<Array>& array) {
  if (!array) return {};
  // The stride of a dimension with one element says nothing.
  const std::int64_t stride_dim = array->shape(3) > 1 ? array->stride(3) : 1;
  return {array->data(), array->stride(0), array->stride(1), array->stride(2), stride_dim};
}

CosSinTable table_of(const Call& call) {
  if (!call.cos) return {};
  const Array& cos = *call.cos;
  const std::int64_t columns = cos.shape(cos.ndim() - 1);
  const std::int64_t row_stride = call.table_rows() > 1 ? cos.stride(cos.ndim() - 2) : columns;
  return {static_cast<const float*>(cos.data()), static_cast<const float*>(call.sin->data()),
          call.table_rows(), columns, row_stride};
}

/// Without a table per sequence this is the call.
RopeArgs args_of(const Call& call) {
  RopeArgs args;
  args.q = tensor_of(call.q);
  args.q_out = tensor_of(call.q_out);
  args.k = tensor_of(call.k);
  args.k_out = tensor_of(call.k_out);
  args.batch = call.sequences();
  args.seq = call.seq();
  args.table = table_of(call);
  args.offset = call.offset;
  if (call.cu_seqlens) args.cu_seqlens = call.cu_seqlens->data();
  if (call.offsets) args.positions = call.offsets->data();
  if (call.position_ids) {
    const Array& ids = *call.position_ids;
    args.positions = ids.data();
    args.position_stride_batch = ids.ndim() == 1 || ids.shape(0) == 1 ? 0 : ids.stride(0);
  }
  return args;
}

/// Whether the sequences of a call lie behind each other, and their tables too: then they are one.
bool is_one_sequence(const Call& call, const RopeArgs& args) {
  if (call.position_ids || call.offsets || call.table_rows() != call.seq()) return false;
  const auto follow = [&](const Tensor& tensor) {
    return tensor.data == nullptr || tensor.stride_batch == call.seq() * tensor.stride_seq;
  };
  return follow(args.q) && follow(args.q_out) && follow(args.k) && follow(args.k_out) &&
         call.seq() > 1 && call.cos->stride(0) == call.seq() * call.cos->stride(1);
}

void advance(Tensor& tensor, std::int64_t bytes) {
  if (tensor.data != nullptr) tensor.data = static_cast<char*>(tensor.data) + bytes;
}

/// The call of sequence `b` alone.
RopeArgs args_of_sequence(const Call& call, const RopeArgs& all, std::int64_t b) {
  RopeArgs args = all;
  const auto element = static_cast<std::int64_t>(size_of(dtype_of(call.leader())));
  args.batch = 1;
  for (Tensor* tensor : {&args.q, &args.q_out, &args.k, &args.k_out}) {
    advance(*tensor, b * tensor->stride_batch * element);
  }
  args.table.cos += b * call.cos->stride(0);
  args.table.sin += b * call.cos->stride(0);
  const auto& indices = call.position_ids ? call.position_ids : call.offsets;
  if (indices) {
    const auto bytes = static_cast<std::int64_t>(size_of(index_type_of(*indices)));
    const std::int64_t stride = call.offsets ? 1 : *args.position_stride_batch;
    args.positions = static_cast<const char*>(args.positions) + b * stride * bytes;
  }
  return args;
}

void set_positions(RopeSpec& spec, const Call& call) {
  if (call.cu_seqlens) {
    spec.positions = PositionMode::ragged;
    spec.index_type = index_type_of(*call.cu_seqlens);
  } else if (call.position_ids) {
    spec.positions = PositionMode::token_ids;
    spec.index_type = index_type_of(*call.position_ids);
  } else if (call.offsets) {
    spec.positions = PositionMode::sequence_offsets;
    spec.index_type = index_type_of(*call.offsets);
  }
}

}  // namespace

RopeSpec spec_of(const Call& call) {
  RopeSpec spec;
  spec.head_dim = static_cast<int>(call.head_dim());
  spec.rotary_dim = call.rotary_dim;
  if (spec.rotary_dim == 0) {
    spec.rotary_dim =
        call.cos ? static_cast<int>(2 * call.cos->shape(call.cos->ndim() - 1)) : spec.head_dim;
  }
  spec.dtype = dtype_of(call.leader());
  spec.layout = call.layout;
  const auto heads = [](const Array& array) {
    return static_cast<int>(
        std::min<std::int64_t>(array.shape(2), std::numeric_limits<int>::max()));
  };
  spec.q_heads = heads(call.leader());
  spec.kv_heads = heads(call.k ? *call.k : *call.q);
  set_positions(spec, call);
  spec.angles = call.cos ? AngleSource::table : AngleSource::exact;
  spec.direction = call.direction;
  return spec;
}

void apply(const Rope& rope, const Call& call, CUstream_st* stream) {
  RopeArgs args = args_of(call);
  if (!has_table_per_sequence(call)) {
    rope.apply(args, stream);
    return;
  }
  if (is_one_sequence(call, args)) {
    args.seq = args.batch * args.seq;
    args.batch = 1;
    args.table.rows = args.seq;
    rope.apply(args, stream);
    return;
  }
  for (std::int64_t b = 0; b < call.batch(); ++b) {
    rope.apply(args_of_sequence(call, args, b), stream);
  }
}

}  // namespace ropejit::python
