#include "core/call.h"

#include <algorithm>
#include <limits>
#include <string>

namespace ropejit::python {
namespace {

std::string with_shape(const Array& array) {
  return std::string(array.name) + ": shape " + shape_text(array) + ": ";
}

void check_device(const Call& call, const std::optional<Array>& array) {
  if (!array || device_of(*array) == device_of(call.leader())) return;
  value_error(std::string(array->name) + ": must be on the device of " +
              std::string(call.leader().name));
}

/// k beside q, or an output beside its input.
void check_alike(const Array& array, const Array& other, bool also_heads) {
  const bool alike = array.ndim() == 4 && array.shape(0) == other.shape(0) &&
                     array.shape(1) == other.shape(1) && array.shape(3) == other.shape(3) &&
                     (!also_heads || array.shape(2) == other.shape(2));
  if (!alike) {
    value_error(with_shape(array) + "must be that of " + std::string(other.name) + ", " +
                shape_text(other) + (also_heads ? "" : ", but for the heads"));
  }
  if (dtype_of(array) != dtype_of(other)) {
    type_error(std::string(array.name) + ": dtype " + dtype_text(array) + ": must be that of " +
               std::string(other.name) + ", " + dtype_text(other));
  }
}

void check_rows(const Array& array) {
  if (array.ndim() != 4) value_error(with_shape(array) + "must be [batch, seq, heads, head_dim]");
  // The strides of an array without elements say nothing.
  if (array.stride(3) != 1 && array.shape(3) > 1 && array.view.size() > 0) {
    value_error(std::string(array.name) + ": the last dimension has stride " +
                std::to_string(array.stride(3)) + ": must be contiguous (stride 1)");
  }
}

void check_pair(const std::optional<Array>& in, const std::optional<Array>& out, const char* name) {
  if (in.has_value() != out.has_value()) {
    value_error(std::string(name) + " and " + name + "_out: must both be given, or neither");
  }
  if (!in) return;
  check_rows(*in);
  check_rows(*out);
  check_alike(*out, *in, true);
}

/// Rows of the table for each sequence.
std::int64_t rows_of(const Array& table) { return table.shape(table.ndim() - 2); }

bool has_table_per_sequence(const Call& call) {
  return call.cos && call.cos->ndim() == 3 && call.cos->shape(0) != 1;
}

void check_table_array(const Call& call, const Array& table) {
  const bool per_sequence = table.ndim() == 3;
  if (table.ndim() != 2 && !per_sequence) {
    value_error(with_shape(table) + "must be [seq, rotary_dim/2] or [batch, seq, rotary_dim/2]");
  }
  if (per_sequence && table.shape(0) != 1 && table.shape(0) != call.batch()) {
    value_error(with_shape(table) + "its batch must be 1 or that of " +
                std::string(call.leader().name) + ", " + std::to_string(call.batch()));
  }
  if (dtype_text(table) != "float32") {
    type_error(std::string(table.name) + ": dtype " + dtype_text(table) +
               ": must be float32 (angles are never in low precision)");
  }
  const std::int64_t columns = table.shape(table.ndim() - 1);
  if (table.stride(table.ndim() - 1) != 1 && columns > 1) {
    value_error(std::string(table.name) + ": the last dimension must be contiguous (stride 1)");
  }
  const std::int64_t row_stride = table.stride(table.ndim() - 2);
  if (rows_of(table) > 1 && row_stride < columns) {
    value_error(std::string(table.name) + ": its rows are " + std::to_string(row_stride) +
                " elements apart: must not overlap or run backwards");
  }
}

void check_columns(const Call& call) {
  const std::int64_t columns = call.cos->shape(call.cos->ndim() - 1);
  if (call.rotary_dim == 0 && 2 * columns > call.head_dim()) {
    value_error(with_shape(*call.cos) + "its columns are pairs: must be at most head_dim / 2 = " +
                std::to_string(call.head_dim() / 2) +
                "; if they repeat, as in duplicated halves, pass rotary_dim");
  }
  if (columns < call.rotary_dim / 2) {
    value_error(with_shape(*call.cos) + "must have at least rotary_dim / 2 = " +
                std::to_string(call.rotary_dim / 2) + " columns");
  }
}

void check_table(const Call& call) {
  if (call.cos.has_value() != call.sin.has_value()) {
    value_error(std::string(call.cos ? "sin" : "cos") + ": must be given with " +
                (call.cos ? "cos" : "sin"));
  }
  if (!call.cos) return;
  const Array &cos = *call.cos, &sin = *call.sin;
  check_table_array(call, cos);
  check_table_array(call, sin);
  if (shape_text(cos) != shape_text(sin)) {
    value_error(with_shape(sin) + "must be that of cos, " + shape_text(cos));
  }
  for (std::size_t i = 0; i + 1 < cos.ndim(); ++i) {
    if (cos.shape(i) > 1 && cos.stride(i) != sin.stride(i)) {
      value_error("sin: stride " + std::to_string(sin.stride(i)) + " of dimension " +
                  std::to_string(i) + ": must be that of cos, " + std::to_string(cos.stride(i)));
    }
  }
  check_columns(call);
  if (call.position_ids) return;
  if (call.offset < 0 || call.offset > rows_of(cos) - call.seq()) {
    value_error(with_shape(cos) + "must have a row for each position from " +
                std::to_string(call.offset) + " (offset) on, of " + std::to_string(call.seq()) +
                " tokens; position p takes row p");
  }
}

void check_position_ids(const Call& call) {
  if (!call.position_ids) return;
  const Array& ids = *call.position_ids;
  index_type_of(ids);
  const bool shared = ids.ndim() == 1;
  const std::size_t last = shared ? 0 : 1;
  const bool fits = (shared || ids.ndim() == 2) && ids.shape(last) == call.seq() &&
                    (shared || ids.shape(0) == call.batch() || ids.shape(0) == 1);
  if (!fits) {
    value_error(with_shape(ids) + "must be [batch, seq] = [" + std::to_string(call.batch()) + ", " +
                std::to_string(call.seq()) + "], [1, seq] or [seq]");
  }
  if (ids.stride(last) != 1 && ids.shape(last) > 1) {
    value_error("position_ids: the last dimension must be contiguous (stride 1)");
  }
  if (call.offset != 0) value_error("offset: must be 0 with position_ids");
}

Tensor tensor_of(const std::optional<Array>& array) {
  if (!array) return {};
  return {array->data(), array->stride(0), array->stride(1), array->stride(2), 1};
}

CosSinTable table_of(const Call& call) {
  if (!call.cos) return {};
  const Array& cos = *call.cos;
  return {static_cast<const float*>(cos.data()), static_cast<const float*>(call.sin->data()),
          rows_of(cos), cos.shape(cos.ndim() - 1), cos.stride(cos.ndim() - 2)};
}

/// Without a table per sequence this is the call.
RopeArgs args_of(const Call& call) {
  RopeArgs args;
  args.q = tensor_of(call.q);
  args.q_out = tensor_of(call.q_out);
  args.k = tensor_of(call.k);
  args.k_out = tensor_of(call.k_out);
  args.batch = call.batch();
  args.seq = call.seq();
  args.table = table_of(call);
  if (!call.position_ids) {
    args.offset = call.offset;
    return args;
  }
  const Array& ids = *call.position_ids;
  args.positions = ids.data();
  args.position_stride_batch = ids.ndim() == 1 || ids.shape(0) == 1 ? 0 : ids.stride(0);
  return args;
}

/// Whether the sequences of a call lie behind each other, and their tables too: then they are one.
bool is_one_sequence(const Call& call, const RopeArgs& args) {
  if (call.position_ids || rows_of(*call.cos) != call.seq()) return false;
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
  if (call.position_ids) {
    const auto index = static_cast<std::int64_t>(size_of(index_type_of(*call.position_ids)));
    args.positions =
        static_cast<const char*>(args.positions) + b * *args.position_stride_batch * index;
  }
  return args;
}

}  // namespace

void check(const Call& call) {
  if (!call.q && !call.k) value_error("q and k: at least one of them must be given");
  dtype_of(call.leader());
  check_pair(call.q, call.q_out, "q");
  check_pair(call.k, call.k_out, "k");
  if (call.q && call.k) check_alike(*call.k, *call.q, false);
  for (const auto* array :
       {&call.q_out, &call.k, &call.k_out, &call.cos, &call.sin, &call.position_ids}) {
    check_device(call, *array);
  }
  if (call.head_dim() > 1024) value_error(with_shape(call.leader()) + "head_dim is at most 1024");
  check_position_ids(call);
  check_table(call);
}

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
  if (call.position_ids) {
    spec.positions = PositionMode::token_ids;
    spec.index_type = index_type_of(*call.position_ids);
  }
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
