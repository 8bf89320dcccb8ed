// The module ropejit._core: what the package's Python files call. Not meant for users.
#include <nanobind/nanobind.h>

#include <exception>

#include "core/exchange.h"
#include "core/rotary.h"
#include "core/rotate.h"
#include "core/runtimes.h"
#include "ropejit/ropejit.h"

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

void bind(nb::module_& module) {
  // PyTorch keeps what it compiled to the end of the process, and with it what that refers to.
  nb::set_leak_warnings(false);
  nb::register_exception_translator(translate);
  module.def("use_exchange_api", use_exchange_api, "type"_a,
             "Reads and writes arrays of the type by DLPack's C exchange API from now on, if it "
             "has one; returns whether.");
  bind_rotary(module);
  bind_runtimes(module);
  bind_ropes(module);
}

}  // namespace
}  // namespace ropejit::python

NB_MODULE(_core, module) { ropejit::python::bind(module); }
