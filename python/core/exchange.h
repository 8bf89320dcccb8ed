#ifndef ROPEJIT_PYTHON_CORE_EXCHANGE_H_
#define ROPEJIT_PYTHON_CORE_EXCHANGE_H_

#include <nanobind/nanobind.h>

#include <cstdint>

namespace ropejit::python {

/// DLTensor of DLPack's C interface (dlpack.h): a view that borrows shape and strides from its
/// array.
struct DlTensor {
  void* data;
  std::int32_t device_type, device_id;
  std::int32_t ndim;
  std::uint8_t code, bits;
  std::uint16_t lanes;
  const std::int64_t* shape;
  const std::int64_t* strides;  ///< in elements; null: dense
  std::uint64_t byte_offset;
};

/// DLPackExchangeAPI (dlpack.h, version 1.2): what an array type offers to native code in the
/// capsule `__dlpack_c_exchange_api__`. Views and streams cost tens of nanoseconds by it, where a
/// call of `__dlpack__` costs microseconds. Function pointers of no use here are not spelled out.
struct ExchangeApi {
  std::uint32_t major, minor;
  const ExchangeApi* previous;
  void (*managed_tensor_allocator)();
  void (*managed_tensor_from_py_object_no_sync)();
  void (*managed_tensor_to_py_object_no_sync)();
  /// May be null. 0, or -1 with a Python error set.
  int (*dltensor_from_py_object_no_sync)(PyObject* object, DlTensor* out);
  int (*current_work_stream)(std::int32_t device_type, std::int32_t device_id, void** out);
};

/// From now on arrays of `type` and of its subclasses are read by the type's exchange API, and
/// written to: so only types whose arrays can always be written. Returns whether the type has one
/// of a version known here.
bool use_exchange_api(nanobind::handle type);

/// Of the type of `object`; null unless use_exchange_api() was told of it.
const ExchangeApi* exchange_api_of(nanobind::handle object);

}  // namespace ropejit::python

#endif  // ROPEJIT_PYTHON_CORE_EXCHANGE_H_
