#include "core/rotate.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/call.h"
#include "core/ropes.h"
#include "core/tensors.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ropejit::python {
namespace {

/// The arrays of a call as Python has them; None where there is none.
struct Objects {
  nb::handle q, k, q_out, k_out, cos, sin, offsets, position_ids, cu_seqlens;
};

/// What else a call says.
struct Settings {
  nb::handle layout;
  int rotary_dim = 0;
  bool inverse = false;
  std::int64_t offset = 0, length = 0;
};

Layout layout_of(nb::handle text) {
  if (PyUnicode_Check(text.ptr())) {
    if (PyUnicode_CompareWithASCIIString(text.ptr(), "interleaved") == 0) {
      return Layout::interleaved;
    }
    if (PyUnicode_CompareWithASCIIString(text.ptr(), "sequential") == 0) return Layout::sequential;
    return parse_layout(nb::borrow<nb::str>(text).c_str());
  }
  type_error(std::string("layout: a ") + nb::type_name(text.type()).c_str() + ": must be a str");
}

/// An array and where its rotation goes. Where that is the same object it is one array, of one
/// name.
void import_pair(nb::handle in, nb::handle out, const char* name, const char* out_name,
                 std::optional<Array>& to_in, std::optional<Array>& to_out) {
  if (in.is(out)) {
    to_in = to_out = import_array(in, name, Access::write);
    return;
  }
  to_in = import_array(in, name, Access::read);
  to_out = import_array(out, out_name, Access::write);
}

/// Of `objects`, which have to outlive it; checked.
Call import_call(const Objects& objects, const Settings& settings) {
  Call call;
  import_pair(objects.q, objects.q_out, "q", "q_out", call.q, call.q_out);
  import_pair(objects.k, objects.k_out, "k", "k_out", call.k, call.k_out);
  call.cos = import_array(objects.cos, "cos", Access::read);
  call.sin = import_array(objects.sin, "sin", Access::read);
  call.offsets = import_array(objects.offsets, "offset", Access::read);
  call.position_ids = import_array(objects.position_ids, "position_ids", Access::read);
  call.cu_seqlens = import_array(objects.cu_seqlens, "cu_seqlens", Access::read);
  call.layout = layout_of(settings.layout);
  call.rotary_dim = settings.rotary_dim;
  call.direction = settings.inverse ? Direction::inverse : Direction::forward;
  call.offset = settings.offset;
  check(call);
  return call;
}

void apply_objects(Ropes& ropes, Objects objects, const Settings& settings,
                   std::optional<CUstream_st*> stream) {
  const Call call = import_call(objects, settings);
  if (is_readable(call)) {
    ropes.apply(call, settings.length, stream);
    return;
  }
  const nb::object dense = nb::module_::import_("ropejit._arrays").attr("dense");
  const nb::object cos = dense(objects.cos), sin = dense(objects.sin);
  const nb::object offsets = dense(objects.offsets), ids = dense(objects.position_ids);
  const nb::object cu_seqlens = dense(objects.cu_seqlens);
  objects.cos = cos;
  objects.sin = sin;
  objects.offsets = offsets;
  objects.position_ids = ids;
  objects.cu_seqlens = cu_seqlens;
  ropes.apply(import_call(objects, settings), settings.length, stream);
}

void apply_arrays(Ropes& ropes, nb::handle q, nb::handle k, nb::handle q_out, nb::handle k_out,
                  nb::handle cos, nb::handle sin, nb::handle position_ids, nb::handle offsets,
                  nb::handle cu_seqlens, nb::handle layout, int rotary_dim, bool inverse,
                  std::int64_t offset, std::int64_t length, std::optional<std::uintptr_t> stream) {
  std::optional<CUstream_st*> on;
  if (stream) on = reinterpret_cast<CUstream_st*>(*stream);
  apply_objects(ropes, {q, k, q_out, k_out, cos, sin, offsets, position_ids, cu_seqlens},
                {layout, rotary_dim, inverse, offset, length}, on);
}

/// A Python int, and no more than 64 bits of it; else nothing.
std::optional<std::int64_t> exact_int(nb::handle object) {
  if (!PyLong_CheckExact(object.ptr())) return {};
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
  if (overflow != 0) return {};
  return value;
}

/// What a module requires of its calls; `dim` 0: nothing.
struct Requirements {
  std::int64_t dim = 0;
  nb::handle seq_len;  ///< None, or no less than the number of tokens
};

/// Whether a call meets them, and its positions have their rows in the table where there is one.
bool meets(const Requirements& required, nb::handle leader, nb::handle cos,
           std::optional<std::int64_t> offset) {
  if (required.dim == 0) return true;
  const Array array = *import_array(leader, "q", Access::read);
  const bool is_heads = array.ndim() == 3 || array.ndim() == 4;
  if (!is_heads || array.shape(array.ndim() - 1) != required.dim) return false;
  const std::int64_t tokens = array.shape(array.ndim() - 3);
  if (!required.seq_len.is_none()) {
    const auto seq_len = exact_int(required.seq_len);
    if (!seq_len || *seq_len < tokens) return false;
  }
  if (cos.is_none()) return true;
  const Array table = *import_array(cos, "cos", Access::read);
  return offset && *offset >= 0 && *offset <= table.shape(0) - tokens &&
         table.device_type() == array.device_type() && table.device_id() == array.device_id();
}

/// Whether all of them are tensors, or absent, of which only their owner has to know.
bool are_plain(const Torch& torch, const Objects& objects) {
  if (torch.is_watching()) return false;
  const bool grad = torch.is_grad_enabled();
  for (const nb::handle object : {objects.q, objects.k, objects.cos, objects.sin, objects.offsets,
                                  objects.position_ids, objects.cu_seqlens}) {
    if (!object.is_none() && !torch.is_plain(object, grad)) return false;
  }
  for (const nb::handle object : {objects.q, objects.k}) {
    if (!object.is_none() && torch.is_negated(object)) return false;
  }
  return true;
}

nb::object rotate_plain(const Torch& torch, Ropes& ropes, Objects objects, const Settings& settings,
                        bool in_place) {
  const auto output = [&](nb::handle in) {
    return in_place || in.is_none() ? nb::borrow(in) : torch.empty_like(in);
  };
  const nb::object q_out = output(objects.q), k_out = output(objects.k);
  const nb::tuple outputs = nb::make_tuple(q_out, k_out);
  if (in_place && objects.q.is_none()) torch.count_writes(nb::make_tuple(k_out));
  if (in_place && objects.k.is_none()) torch.count_writes(nb::make_tuple(q_out));
  if (in_place && !objects.q.is_none() && !objects.k.is_none()) torch.count_writes(outputs);
  objects.q_out = q_out;
  objects.k_out = k_out;
  apply_objects(ropes, objects, settings, {});
  return outputs;
}

/// A tensor of one position for all sequences, which Python spreads over them.
bool is_shared(nb::handle offset, nb::handle leader) {
  const Array array = *import_array(offset, "offset", Access::read);
  if (array.ndim() != 1) return array.ndim() == 0;
  const Array heads = *import_array(leader, "q", Access::read);
  return array.shape(0) == 1 && heads.ndim() == 4 && heads.shape(0) != 1;
}

nb::object rotate_tensors(Ropes& ropes, nb::handle q, nb::handle k, nb::handle cos, nb::handle sin,
                          nb::handle position_ids, nb::handle offset, nb::handle cu_seqlens,
                          nb::handle layout, nb::handle rotary_dim, bool inverse,
                          std::int64_t length, bool in_place, std::int64_t dim,
                          nb::handle seq_len) {
  const Torch* torch = Torch::instance();
  const nb::handle none(Py_None), leader = q.is_none() ? k : q;
  if (torch == nullptr || !torch->is_tensor(leader) || length < 0) return nb::none();
  const auto number = exact_int(offset);
  const Objects objects{.q = q,
                        .k = k,
                        .q_out = none,
                        .k_out = none,
                        .cos = cos,
                        .sin = sin,
                        .offsets = number ? none : offset,
                        .position_ids = position_ids,
                        .cu_seqlens = cu_seqlens};
  const auto rotary = rotary_dim.is_none() ? std::int64_t{0} : exact_int(rotary_dim);
  const bool rotary_fits = rotary && *rotary % 2 == 0 && 0 <= *rotary && *rotary <= 1024;
  if (!rotary_fits || !are_plain(*torch, objects)) return nb::none();
  try {
    if (!number && is_shared(offset, leader)) return nb::none();
    if (!meets({dim, seq_len}, leader, cos, number)) return nb::none();
    return rotate_plain(*torch, ropes, objects,
                        {layout, static_cast<int>(*rotary), inverse, number.value_or(0), length},
                        in_place);
  } catch (const std::exception&) {
    if (torch->is_transforming()) return nb::none();
    throw;
  }
}

}  // namespace

void bind_ropes(nb::module_& module) {
  module.def("use_torch", &Torch::set_instance, "hooks"_a);
  module.def(
      "layout_name", [](nb::handle text) { return std::string(name(layout_of(text))); }, "layout"_a,
      "`interleaved` or `sequential`, for any name of a layout. ValueError for an unknown one.");
  nb::class_<Ropes>(module, "Ropes", "The handles of one set of parameters, or of tables.")
      .def(
          "__init__",
          [](Ropes* self, const std::shared_ptr<Runtimes>& runtimes, const nb::object& rotary) {
            std::optional<RotaryParameters> parameters;
            if (!rotary.is_none()) parameters = nb::cast<const RotaryParameters&>(rotary);
            new (self) Ropes(runtimes, std::move(parameters));
          },
          "runtimes"_a, "rotary"_a = nb::none())
      .def("apply", apply_arrays, "q"_a.none(), "k"_a.none(), "q_out"_a.none(), "k_out"_a.none(),
           "cos"_a.none(), "sin"_a.none(), "position_ids"_a.none(), "offsets"_a.none(),
           "cu_seqlens"_a.none(), "layout"_a, "rotary_dim"_a, "inverse"_a, "offset"_a, "length"_a,
           "stream"_a.none(),
           "Rotates q and k into q_out and k_out. Tables and indices with gaps are copied first.")
      .def(
          "rotate_tensors", rotate_tensors, "q"_a.none(), "k"_a.none(), "cos"_a.none(),
          "sin"_a.none(), "position_ids"_a.none(), "offset"_a.none(), "cu_seqlens"_a.none(),
          "layout"_a.none(), "rotary_dim"_a.none(), "inverse"_a, "length"_a, "in_place"_a,
          "dim"_a = 0, "seq_len"_a = nb::none(),
          "q and k rotated; None, and nothing was done, where the arguments are not plain tensors "
          "and numbers, or PyTorch has to know of the call. With a `dim` also where the heads have "
          "another one, `seq_len` is too small or the table too short.");
}

}  // namespace ropejit::python
