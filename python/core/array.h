#ifndef ROPEJIT_PYTHON_CORE_ARRAY_H_
#define ROPEJIT_PYTHON_CORE_ARRAY_H_

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ropejit/ropejit.h"

namespace ropejit::python {

/// An array of any library that speaks DLPack (or, on the CPU, the buffer protocol), where it lies
/// and with the strides that it has: nothing is copied. Keeps the memory alive while it lives.
struct Array {
  std::string_view name;  ///< of the argument, for messages
  nanobind::ndarray<nanobind::ro> view;

  void* data() const { return const_cast<void*>(view.data()); }
  std::size_t ndim() const { return view.ndim(); }
  std::int64_t shape(std::size_t i) const { return static_cast<std::int64_t>(view.shape(i)); }
  std::int64_t stride(std::size_t i) const { return view.stride(i); }  ///< in elements
};

enum class Access { read, write };

/// The argument `name` as an array; nothing for None. Throws TypeError for what is no array, and
/// ValueError for a read-only one that is to be written; both name it.
std::optional<Array> import_array(nanobind::handle object, std::string_view name, Access access);

/// kCpuDevice, or the ordinal of a CUDA device. Throws ValueError for any other device.
int device_of(const Array& array);
/// Throws TypeError that names the argument unless it has one of the library's dtypes.
Dtype dtype_of(const Array& array);
/// Throws TypeError that names the argument unless it is int32 or int64.
IndexType index_type_of(const Array& array);

/// Such as `[2, 16, 8, 64]`, for messages.
std::string shape_text(const Array& array);
/// Such as `float32`, for messages.
std::string dtype_text(const Array& array);

/// Throw ValueError and TypeError.
[[noreturn]] void value_error(const std::string& message);
[[noreturn]] void type_error(const std::string& message);

}  // namespace ropejit::python

#endif  // ROPEJIT_PYTHON_CORE_ARRAY_H_
