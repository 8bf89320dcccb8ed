// The module ropejit._core: what the package's Python files call. Not meant for users.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/array.h"
#include "core/call.h"
#include "core/ropes.h"
#include "core/rotary.h"
#include "core/runtimes.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ropejit::python {
namespace {

void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Error& error) {
    PyObject* type = PyExc_RuntimeError;
    if (error.code() == ErrorCode::invalid_argument) type = PyExc_ValueError;
    if (error.code() == ErrorCode::unsupported) type = PyExc_ValueError;
    if (error.code() == ErrorCode::io) type = PyExc_OSError;
    PyErr_SetString(type, error.what());
  }
}

/// An output that is its input is one array, named as the input.
std::optional<Array> import_output(nb::handle object, nb::handle input, std::string_view name,
                                   std::string_view input_name) {
  return import_array(object, object.is(input) ? input_name : name, Access::write);
}

bool apply_arrays(Ropes& ropes, nb::handle q, nb::handle k, nb::handle q_out, nb::handle k_out,
                  nb::handle cos, nb::handle sin, Layout layout, int rotary_dim, bool inverse,
                  std::int64_t offset, nb::handle offsets, nb::handle position_ids,
                  nb::handle cu_seqlens, std::int64_t length,
                  std::optional<std::uintptr_t> stream) {
  Call call;
  call.q = import_array(q, "q", Access::read);
  call.k = import_array(k, "k", Access::read);
  call.q_out = import_output(q_out, q, "q_out", "q");
  call.k_out = import_output(k_out, k, "k_out", "k");
  call.cos = import_array(cos, "cos", Access::read);
  call.sin = import_array(sin, "sin", Access::read);
  call.offsets = import_array(offsets, "offset", Access::read);
  call.position_ids = import_array(position_ids, "position_ids", Access::read);
  call.cu_seqlens = import_array(cu_seqlens, "cu_seqlens", Access::read);
  call.layout = layout;
  call.rotary_dim = rotary_dim;
  call.direction = inverse ? Direction::inverse : Direction::forward;
  call.offset = offset;
  std::optional<CUstream_st*> on;
  if (stream) on = reinterpret_cast<CUstream_st*>(*stream);
  return ropes.apply(call, length, on);
}

void bind(nb::module_& module) {
  nb::register_exception_translator(translate);
  nb::enum_<Layout>(module, "Layout")
      .value("interleaved", Layout::interleaved)
      .value("sequential", Layout::sequential);
  module.def(
      "parse_layout", [](const std::string& text) { return parse_layout(text); }, "text"_a,
      "A layout by one of its names. ValueError for an unknown one.");
  module.def("use_exchange_api", use_exchange_api, "type"_a,
             "Reads and writes arrays of the type by DLPack's C exchange API from now on, if it "
             "has one; returns whether.");
  bind_rotary(module);
  bind_runtimes(module);

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
           "cos"_a.none(), "sin"_a.none(), "layout"_a, "rotary_dim"_a, "inverse"_a, "offset"_a,
           "offsets"_a.none(), "position_ids"_a.none(), "cu_seqlens"_a.none(), "length"_a,
           "stream"_a.none(),
           "Rotates q and k into q_out and k_out. False: copy table and indices first.");
}

}  // namespace
}  // namespace ropejit::python

NB_MODULE(_core, module) { ropejit::python::bind(module); }
