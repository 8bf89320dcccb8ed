#include "core/rotate.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

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

void import_inputs(Call& call, const Objects& objects, Access access) {
  import_array(call.q, objects.q, "q", access);
  import_array(call.k, objects.k, "k", access);
  import_array(call.cos, objects.cos, "cos", Access::read);
  import_array(call.sin, objects.sin, "sin", Access::read);
  import_array(call.offsets, objects.offsets, "offset", Access::read);
  import_array(call.position_ids, objects.position_ids, "position_ids", Access::read);
  import_array(call.cu_seqlens, objects.cu_seqlens, "cu_seqlens", Access::read);
}

/// Where the rotations of a call's q and k go; where that is the same object it is one array, of
/// one name.
void import_outputs(Call& call, const Objects& objects) {
  if (objects.q_out.is(objects.q)) {
    call.q_out = call.q;
  } else {
    import_array(call.q_out, objects.q_out, "q_out", Access::write);
  }
  if (objects.k_out.is(objects.k)) {
    call.k_out = call.k;
  } else {
    import_array(call.k_out, objects.k_out, "k_out", Access::write);
  }
}

void set(Call& call, const Settings& settings) {
  call.layout = layout_of(settings.layout);
  call.rotary_dim = settings.rotary_dim;
  call.direction = settings.inverse ? Direction::inverse : Direction::forward;
  call.offset = settings.offset;
}

/// Applies a call of `objects`, with copies of tables and indices that have gaps.
void check_and_apply(Ropes& ropes, Call& call, const Objects& objects, const Settings& settings,
                     std::optional<CUstream_st*> stream) {
  check(call);
  if (is_readable(call)) {
    ropes.apply(call, settings.length, stream);
    return;
  }
  const nb::object dense = nb::module_::import_("ropejit._arrays").attr("dense");
  const nb::object cos = dense(objects.cos), sin = dense(objects.sin);
  const nb::object offsets = dense(objects.offsets), ids = dense(objects.position_ids);
  const nb::object cu_seqlens = dense(objects.cu_seqlens);
  import_array(call.cos, cos, "cos", Access::read);
  import_array(call.sin, sin, "sin", Access::read);
  import_array(call.offsets, offsets, "offset", Access::read);
  import_array(call.position_ids, ids, "position_ids", Access::read);
  import_array(call.cu_seqlens, cu_seqlens, "cu_seqlens", Access::read);
  ropes.apply(call, settings.length, stream);
}

void apply_arrays(Ropes& ropes, nb::handle q, nb::handle k, nb::handle q_out, nb::handle k_out,
                  nb::handle cos, nb::handle sin, nb::handle position_ids, nb::handle offsets,
                  nb::handle cu_seqlens, nb::handle layout, int rotary_dim, bool inverse,
                  std::int64_t offset, std::int64_t length, std::optional<std::uintptr_t> stream) {
  const Objects objects{q, k, q_out, k_out, cos, sin, offsets, position_ids, cu_seqlens};
  const Settings settings{layout, rotary_dim, inverse, offset, length};
  Call call;
  set(call, settings);
  import_inputs(call, objects, q_out.is(q) && k_out.is(k) ? Access::write : Access::read);
  import_outputs(call, objects);
  std::optional<CUstream_st*> on;
  if (stream) on = reinterpret_cast<CUstream_st*>(*stream);
  check_and_apply(ropes, call, objects, settings, on);
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
bool meets(const Requirements& required, const Call& call) {
  if (required.dim == 0) return true;
  const Array& leader = call.leader();
  const bool is_heads = leader.ndim() == 3 || leader.ndim() == 4;
  if (!is_heads || leader.shape(leader.ndim() - 1) != required.dim) return false;
  const std::int64_t tokens = leader.shape(leader.ndim() - 3);
  if (!required.seq_len.is_none()) {
    const auto seq_len = exact_int(required.seq_len);
    if (!seq_len || *seq_len < tokens) return false;
  }
  if (!call.cos) return true;
  return !call.offsets && call.offset >= 0 && call.offset <= call.cos->shape(0) - tokens &&
         call.cos->device_type() == leader.device_type() &&
         call.cos->device_id() == leader.device_id();
}

/// Whether all of them are tensors, or absent, of which only their owner has to know.
bool are_plain(const Torch& torch, const Objects& objects) {
  if (torch.is_watching()) return false;
  const bool grad = torch.is_grad_enabled();
  for (const nb::handle object : {objects.q, objects.k, objects.cos, objects.sin, objects.offsets,
                                  objects.position_ids, objects.cu_seqlens}) {
    if (!object.is_none() && !torch.is_plain(object, grad)) return false;
  }
  return true;
}

/// Of q or k: whether its memory holds negated elements. Those come of complex numbers, whose parts
/// are not bfloat16.
bool is_negated(const Torch& torch, nb::handle object, const std::optional<Array>& array) {
  return array && array->type() != kBfloat16 && torch.is_negated(object);
}

/// A position for all sequences, which Python spreads over them.
bool is_shared(const Array& offsets, const Array& leader) {
  if (offsets.ndim() != 1) return offsets.ndim() == 0;
  return offsets.shape(0) == 1 && leader.ndim() == 4 && leader.shape(0) != 1;
}

/// `both` are q and k, either of which may be None.
void count_writes(const Torch& torch, const nb::tuple& both) {
  const nb::handle q = both[0], k = both[1];
  const bool is_pair = !q.is_none() && !k.is_none();
  torch.count_writes(is_pair ? both : nb::make_tuple(q.is_none() ? k : q));
}

nb::object rotate_plain(const Torch& torch, Ropes& ropes, Objects objects, const Settings& settings,
                        const Requirements& required, bool in_place) {
  Call call;
  set(call, settings);
  import_inputs(call, objects, Access::write);
  const bool is_simple =
      meets(required, call) && !(call.offsets && is_shared(*call.offsets, call.leader())) &&
      !is_negated(torch, objects.q, call.q) && !is_negated(torch, objects.k, call.k);
  if (!is_simple) return nb::none();
  const auto output = [&](nb::handle in) {
    return in_place || in.is_none() ? nb::borrow(in) : torch.empty_like(in);
  };
  const nb::tuple outputs = nb::make_tuple(output(objects.q), output(objects.k));
  if (in_place) count_writes(torch, outputs);
  objects.q_out = outputs[0];
  objects.k_out = outputs[1];
  import_outputs(call, objects);
  check_and_apply(ropes, call, objects, settings, {});
  return outputs;
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
  const nb::handle offsets = number ? none : offset;
  const Objects objects{q, k, none, none, cos, sin, offsets, position_ids, cu_seqlens};
  const auto rotary = rotary_dim.is_none() ? std::int64_t{0} : exact_int(rotary_dim);
  const bool rotary_fits =
      rotary && *rotary % 2 == 0 && *rotary <= 1024 && (*rotary >= 2 || rotary_dim.is_none());
  if (!rotary_fits || !are_plain(*torch, objects)) return nb::none();
  try {
    return rotate_plain(*torch, ropes, objects,
                        {layout, static_cast<int>(*rotary), inverse, number.value_or(0), length},
                        {dim, seq_len}, in_place);
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
      .def("expect_heads", &Ropes::expect_heads, "q_heads"_a, "kv_heads"_a,
           "Calls with one array alone take the kernels for both of these, if it is one of them.")
      .def("specs", &Ropes::specs, "A line for each handle.")
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
