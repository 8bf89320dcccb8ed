// The module ropejit._core: what the package's Python files call. Not meant for users.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/array.h"
#include "core/call.h"
#include "core/ropes.h"
#include "ropejit/reference.h"

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

/// Writes the rows of positions first, first + 1, ... of a table.
template <class Real>
void fill(const Frequencies& frequencies, std::int64_t first, const Array& cos, const Array& sin) {
  const nb::gil_scoped_release unlocked;
  for (std::int64_t row = 0; row < cos.shape(0); ++row) {
    for (std::int64_t pair = 0; pair < cos.shape(1); ++pair) {
      const CosSin angle =
          exact_cos_sin(frequencies.turns[static_cast<std::size_t>(pair)], first + row);
      static_cast<Real*>(cos.data())[row * cos.stride(0) + pair * cos.stride(1)] =
          static_cast<Real>(angle.cos);
      static_cast<Real*>(sin.data())[row * sin.stride(0) + pair * sin.stride(1)] =
          static_cast<Real>(angle.sin);
    }
  }
}

void check_table(const Frequencies& frequencies, const Array& table) {
  if (table.ndim() != 2 || device_of(table) != kCpuDevice ||
      table.shape(1) != static_cast<std::int64_t>(frequencies.turns.size())) {
    value_error(std::string(table.name) + ": must be [rows, rotary_dim/2] on the CPU");
  }
}

void fill_table(const Frequencies& frequencies, const nb::object& cos_object,
                const nb::object& sin_object, std::int64_t first) {
  const auto cos = import_array(cos_object, "cos", Access::write);
  const auto sin = import_array(sin_object, "sin", Access::write);
  if (!cos || !sin) type_error("cos and sin: must be given");
  check_table(frequencies, *cos);
  check_table(frequencies, *sin);
  if (shape_text(*cos) != shape_text(*sin)) value_error("sin: must have the shape of cos");
  const std::string dtype = dtype_text(*cos);
  if (dtype != dtype_text(*sin)) type_error("sin: must have the dtype of cos");
  if (dtype == "float32") {
    fill<float>(frequencies, first, *cos, *sin);
  } else if (dtype == "float64") {
    fill<double>(frequencies, first, *cos, *sin);
  } else {
    type_error("cos: dtype " + dtype + ": must be float32 or float64");
  }
}

void apply_arrays(Ropes& ropes, const nb::object& q, const nb::object& k, const nb::object& q_out,
                  const nb::object& k_out, const nb::object& cos, const nb::object& sin,
                  Layout layout, int rotary_dim, bool inverse, std::int64_t offset,
                  const nb::object& position_ids, std::uintptr_t stream) {
  Call call;
  call.q = import_array(q, "q", Access::read);
  call.k = import_array(k, "k", Access::read);
  call.q_out = import_array(q_out, q_out.is(q) ? "q" : "q_out", Access::write);
  call.k_out = import_array(k_out, k_out.is(k) ? "k" : "k_out", Access::write);
  call.cos = import_array(cos, "cos", Access::read);
  call.sin = import_array(sin, "sin", Access::read);
  call.position_ids = import_array(position_ids, "position_ids", Access::read);
  call.layout = layout;
  call.rotary_dim = rotary_dim;
  call.direction = inverse ? Direction::inverse : Direction::forward;
  call.offset = offset;
  ropes.apply(call, reinterpret_cast<CUstream_st*>(stream));
}

nb::dict stats(const Runtime& runtime) {
  const Stats counts = runtime.stats();
  nb::dict result;
  result["memory_hits"] = counts.memory_hits;
  result["disk_hits"] = counts.disk_hits;
  result["misses"] = counts.misses;
  result["damaged"] = counts.damaged;
  result["driver_refused"] = counts.driver_refused;
  result["compiles"] = counts.compiles;
  result["write_failures"] = counts.write_failures;
  result["unaligned_calls"] = counts.unaligned_calls;
  result["nvrtc_opened"] = counts.nvrtc_opened;
  return result;
}

void bind(nb::module_& module) {
  nb::register_exception_translator(translate);
  nb::enum_<Layout>(module, "Layout")
      .value("interleaved", Layout::interleaved)
      .value("sequential", Layout::sequential);
  module.def(
      "parse_layout", [](const std::string& text) { return parse_layout(text); }, "text"_a,
      "A layout by one of its names. ValueError for an unknown one.");

  nb::class_<Frequencies>(module, "Frequencies", "How fast each pair turns.")
      .def("fill_table", fill_table, "cos"_a, "sin"_a, "first"_a = 0,
           "Writes cosines and sines of positions first, first + 1, ..., evaluated in double, into "
           "float32 or float64 arrays [rows, rotary_dim/2] on the CPU.");
  module.def(
      "default_frequencies",
      [](int rotary_dim, double base) { return default_frequencies(rotary_dim, base); },
      "rotary_dim"_a, "base"_a, "base^(-2i / rotary_dim) radians per position for pair i.");

  nb::class_<Runtime>(module, "Runtime", "Owns the kernels and their cache.")
      .def(nb::new_([] { return std::make_shared<Runtime>(); }))
      .def("stats", stats, "What was counted since the Runtime was made.");

  nb::class_<Ropes>(module, "Ropes", "The handles of one set of frequencies, or of tables.")
      .def(
          "__init__",
          [](Ropes* self, const std::shared_ptr<Runtime>& runtime, const nb::object& frequencies) {
            std::optional<Frequencies> rates;
            if (!frequencies.is_none()) rates = nb::cast<const Frequencies&>(frequencies);
            new (self) Ropes(runtime, std::move(rates));
          },
          "runtime"_a, "frequencies"_a = nb::none())
      .def("apply", apply_arrays, "q"_a.none(), "k"_a.none(), "q_out"_a.none(), "k_out"_a.none(),
           "cos"_a = nb::none(), "sin"_a = nb::none(), "layout"_a = Layout::interleaved,
           "rotary_dim"_a = 0, "inverse"_a = false, "offset"_a = 0, "position_ids"_a = nb::none(),
           "stream"_a = 0, "Rotates q and k into q_out and k_out. `stream` is a pointer.");
}

}  // namespace
}  // namespace ropejit::python

NB_MODULE(_core, module) { ropejit::python::bind(module); }
