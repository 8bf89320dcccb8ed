#include "core/tensors.h"

#include <cstdint>

namespace ropejit::python {
namespace {

namespace nb = nanobind;

const Torch* the_instance = nullptr;

nb::object interned(const char* text) { return nb::steal(PyUnicode_InternFromString(text)); }

nb::object checked(PyObject* result) {
  if (result == nullptr) nb::raise_python_error();
  return nb::steal(result);
}

bool is_true(const nb::object& object) { return object.ptr() == Py_True; }

}  // namespace

Torch::Torch(const nb::dict& hooks)
    : tensor_type_(hooks["tensor_type"]),
      parameter_type_(hooks["parameter_type"]),
      dispatch_modes_(hooks["dispatch_modes"]),
      transforms_active_(hooks["transforms_active"]),
      forward_ad_(hooks["forward_ad"]),
      grad_enabled_(hooks["grad_enabled"]),
      increment_versions_(hooks["increment_versions"]),
      empty_like_(hooks["empty_like"]),
      current_stream_(hooks["current_stream"]),
      requires_grad_(interned("requires_grad")),
      is_neg_(interned("is_neg")),
      current_level_(interned("_current_level")) {}

const Torch* Torch::instance() { return the_instance; }
void Torch::set_instance(const nb::dict& hooks) { the_instance = new Torch(hooks); }

bool Torch::is_watching() const {
  const nb::object modes = checked(PyObject_CallNoArgs(dispatch_modes_.ptr()));
  const nb::object level = checked(PyObject_GetAttr(forward_ad_.ptr(), current_level_.ptr()));
  return PyLong_AsLong(modes.ptr()) != 0 || PyLong_AsLong(level.ptr()) >= 0;
}

bool Torch::is_transforming() const {
  return is_true(checked(PyObject_CallNoArgs(transforms_active_.ptr())));
}

bool Torch::is_grad_enabled() const {
  return is_true(checked(PyObject_CallNoArgs(grad_enabled_.ptr())));
}

bool Torch::is_plain(nb::handle object, bool grad_enabled) const {
  const nb::handle type = object.type();
  if (!type.is(tensor_type_) && !type.is(parameter_type_)) return false;
  return !grad_enabled || !is_true(checked(PyObject_GetAttr(object.ptr(), requires_grad_.ptr())));
}

bool Torch::is_negated(nb::handle tensor) const {
  return is_true(checked(PyObject_CallMethodNoArgs(tensor.ptr(), is_neg_.ptr())));
}

bool Torch::is_tensor(nb::handle object) const {
  return PyObject_TypeCheck(object.ptr(), reinterpret_cast<PyTypeObject*>(tensor_type_.ptr())) != 0;
}

void Torch::count_writes(const nb::tuple& tensors) const {
  checked(PyObject_CallOneArg(increment_versions_.ptr(), tensors.ptr()));
}

nb::object Torch::empty_like(nb::handle tensor) const {
  return checked(PyObject_CallOneArg(empty_like_.ptr(), tensor.ptr()));
}

nb::object Torch::detach(nb::handle tensor) const { return tensor.attr("detach")(); }

CUstream_st* Torch::current_stream(int device) const {
  return reinterpret_cast<CUstream_st*>(nb::cast<std::uintptr_t>(current_stream_(device)));
}

}  // namespace ropejit::python
