#include "core/exchange.h"

namespace ropejit::python {
namespace {

namespace nb = nanobind;

/// One array library at most: a type, held for good, and its API.
struct Trusted {
  PyTypeObject* type = nullptr;
  const ExchangeApi* api = nullptr;
};
Trusted trusted;

}  // namespace

bool use_exchange_api(nb::handle type) {
  if (!PyType_Check(type.ptr()) || !nb::hasattr(type, "__dlpack_c_exchange_api__")) return false;
  const nb::object capsule = type.attr("__dlpack_c_exchange_api__");
  const auto* api =
      static_cast<const ExchangeApi*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (api == nullptr) nb::raise_python_error();
  if (api->major != 1 || api->dltensor_from_py_object_no_sync == nullptr) return false;
  trusted = {reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr()), api};
  return true;
}

const ExchangeApi* exchange_api_of(nb::handle object) {
  if (trusted.type == nullptr || !PyObject_TypeCheck(object.ptr(), trusted.type)) return nullptr;
  return trusted.api;
}

}  // namespace ropejit::python
