#include <string>

#include "core/call.h"

namespace ropejit::python {
namespace {

std::string named(const Array& array) { return std::string(array.name()); }
std::string with_shape(const Array& array) {
  return named(array) + ": shape " + array.shape_text() + ": ";
}

void check_device(const Call& call, const std::optional<Array>& array) {
  if (!array || device_of(*array) == device_of(call.leader())) return;
  value_error(named(*array) + ": must be on the device of " + named(call.leader()));
}

bool have_one_shape(const Array& a, const Array& b) {
  if (a.ndim() != b.ndim()) return false;
  for (std::size_t i = 0; i < a.ndim(); ++i) {
    if (a.shape(i) != b.shape(i)) return false;
  }
  return true;
}

/// k beside q, or an output beside its input.
void check_alike(const Array& array, const Array& other, bool also_heads) {
  const bool alike = array.shape(0) == other.shape(0) && array.shape(1) == other.shape(1) &&
                     array.shape(3) == other.shape(3) &&
                     (!also_heads || array.shape(2) == other.shape(2));
  if (!alike) {
    value_error(with_shape(array) + "must be that of " + named(other) + ", " + other.shape_text() +
                (also_heads ? "" : ", but for the heads"));
  }
  if (array.type() != other.type()) {
    type_error(named(array) + ": dtype " + array.type_text() + ": must be that of " + named(other) +
               ", " + other.type_text());
  }
}

void check_rows(Array& array) {
  if (array.ndim() == 3) array.add_batch();
  if (array.ndim() == 4) return;
  value_error(with_shape(array) +
              "must be [batch, seq, heads, head_dim] or [tokens, heads, head_dim]");
}

void check_pair(std::optional<Array>& in, std::optional<Array>& out, const char* name) {
  if (in.has_value() != out.has_value()) {
    value_error(std::string(name) + " and " + name + "_out: must both be given, or neither");
  }
  if (!in) return;
  check_rows(*in);
  check_rows(*out);
  check_alike(*out, *in, true);
}

void check_table_array(const Call& call, const Array& table) {
  const bool per_sequence = table.ndim() == 3;
  if (table.ndim() != 2 && !per_sequence) {
    value_error(with_shape(table) + "must be [seq, rotary_dim/2] or [batch, seq, rotary_dim/2]");
  }
  if (per_sequence && table.shape(0) != 1 && table.shape(0) != call.batch()) {
    value_error(with_shape(table) + "its batch must be 1 or that of " + named(call.leader()) +
                ", " + std::to_string(call.batch()));
  }
  if (table.type() != kFloat32) {
    type_error(named(table) + ": dtype " + table.type_text() +
               ": must be float32 (angles are never in low precision)");
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
  check_table_array(call, *call.cos);
  check_table_array(call, *call.sin);
  if (!have_one_shape(*call.cos, *call.sin)) {
    value_error(with_shape(*call.sin) + "must be that of cos, " + call.cos->shape_text());
  }
  check_columns(call);
  if (call.position_ids || call.offsets) return;
  if (call.offset < 0 || call.offset > call.table_rows() - call.seq()) {
    value_error(with_shape(*call.cos) + "must have a row for each position from " +
                std::to_string(call.offset) + " (offset) on, of " + std::to_string(call.seq()) +
                " tokens; position p takes row p");
  }
}

void check_position_ids(const Call& call) {
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
  if (call.offset != 0 || call.offsets) value_error("offset: must be 0 with position_ids");
  if (call.cu_seqlens) value_error("cu_seqlens: must not be given with position_ids");
}

void check_cu_seqlens(const Call& call) {
  const Array& bounds = *call.cu_seqlens;
  index_type_of(bounds);
  if (bounds.ndim() != 1 || bounds.shape(0) < 1) {
    value_error(with_shape(bounds) + "must be [sequences + 1]");
  }
  if (call.batch() != 1) {
    value_error(with_shape(call.leader()) +
                "must be [tokens, heads, head_dim] or [1, tokens, heads, head_dim] with "
                "cu_seqlens");
  }
  if (call.offset != 0) {
    value_error("offset = " + std::to_string(call.offset) +
                ": must be 0, or an array of one position for each sequence, with cu_seqlens");
  }
}

void check_offsets(const Call& call) {
  const Array& offsets = *call.offsets;
  index_type_of(offsets);
  if (offsets.ndim() != 1 || offsets.shape(0) != call.sequences()) {
    value_error(with_shape(offsets) + "must be an integer or one for each sequence, [" +
                std::to_string(call.sequences()) + "]");
  }
  if (call.cu_seqlens && offsets.type() != call.cu_seqlens->type()) {
    type_error("offset: dtype " + offsets.type_text() + ": must be that of cu_seqlens, " +
               call.cu_seqlens->type_text());
  }
}

bool is_dense_at(const Array& array, std::size_t dimension) {
  return array.shape(dimension) <= 1 || array.stride(dimension) == 1;
}

}  // namespace

void check(Call& call) {
  if (!call.q && !call.k) value_error("q and k: at least one of them must be given");
  check_pair(call.q, call.q_out, "q");
  check_pair(call.k, call.k_out, "k");
  dtype_of(call.leader());
  if (call.q && call.k) check_alike(*call.k, *call.q, false);
  for (const auto* array : {&call.q_out, &call.k, &call.k_out, &call.cos, &call.sin,
                            &call.position_ids, &call.offsets, &call.cu_seqlens}) {
    check_device(call, *array);
  }
  if (call.head_dim() > 1024) value_error(with_shape(call.leader()) + "head_dim is at most 1024");
  if (call.position_ids) check_position_ids(call);
  if (call.cu_seqlens) check_cu_seqlens(call);
  if (call.offsets) check_offsets(call);
  check_table(call);
}

bool is_readable(const Call& call) {
  for (const auto* indices : {&call.position_ids, &call.offsets, &call.cu_seqlens}) {
    if (*indices && !is_dense_at(**indices, (*indices)->ndim() - 1)) return false;
  }
  if (!call.cos) return true;
  const Array &cos = *call.cos, &sin = *call.sin;
  const std::size_t row = cos.ndim() - 2, column = cos.ndim() - 1;
  if (!is_dense_at(cos, column) || !is_dense_at(sin, column)) return false;
  if (cos.shape(row) > 1 && cos.stride(row) < cos.shape(column)) return false;
  for (std::size_t i = 0; i <= row; ++i) {
    if (cos.shape(i) > 1 && cos.stride(i) != sin.stride(i)) return false;
  }
  return true;
}

}  // namespace ropejit::python
