#include "core/array.h"

namespace ropejit::python {
namespace {

namespace nb = nanobind;

template <class View>
std::optional<nb::ndarray<nb::ro>> try_view(nb::handle object) {
  View view;
  if (!nb::try_cast<View>(object, view, false)) return {};
  return nb::ndarray<nb::ro>(view);
}

bool is(const Array& array, nb::dlpack::dtype_code code, int bits) {
  const nb::dlpack::dtype dtype = array.view.dtype();
  return dtype.code == static_cast<std::uint8_t>(code) && dtype.bits == bits && dtype.lanes == 1;
}

}  // namespace

void value_error(const std::string& message) { throw nb::value_error(message.c_str()); }
void type_error(const std::string& message) { throw nb::type_error(message.c_str()); }

std::optional<Array> import_array(nb::handle object, std::string_view name, Access access) {
  if (object.is_none()) return {};
  if (access == Access::write) {
    if (auto view = try_view<nb::ndarray<>>(object)) return Array{name, *view};
  }
  const auto view = try_view<nb::ndarray<nb::ro>>(object);
  if (!view) {
    type_error(std::string(name) + ": a " + nb::type_name(object.type()).c_str() +
               ": must be an array that speaks DLPack (PyTorch, CuPy, JAX, NumPy), of a dtype that "
               "DLPack knows, with strides of whole elements");
  }
  if (access == Access::write) value_error(std::string(name) + ": is read-only");
  return Array{name, *view};
}

int device_of(const Array& array) {
  switch (array.view.device_type()) {
    case nb::device::cpu::value:
    case nb::device::cuda_host::value:
      return kCpuDevice;
    case nb::device::cuda::value:
    case nb::device::cuda_managed::value:
      return static_cast<int>(array.view.device_id());
    default:
      value_error(std::string(array.name) + ": is on a device of DLPack's type " +
                  std::to_string(array.view.device_type()) + ": must be on the CPU or on CUDA");
  }
}

Dtype dtype_of(const Array& array) {
  using Code = nb::dlpack::dtype_code;
  if (is(array, Code::Float, 32)) return Dtype::float32;
  if (is(array, Code::Float, 16)) return Dtype::float16;
  if (is(array, Code::Bfloat, 16)) return Dtype::bfloat16;
  type_error(std::string(array.name) + ": dtype " + dtype_text(array) +
             ": must be float32, float16 or bfloat16");
}

IndexType index_type_of(const Array& array) {
  if (is(array, nb::dlpack::dtype_code::Int, 32)) return IndexType::int32;
  if (is(array, nb::dlpack::dtype_code::Int, 64)) return IndexType::int64;
  type_error(std::string(array.name) + ": dtype " + dtype_text(array) + ": must be int32 or int64");
}

std::string shape_text(const Array& array) {
  std::string text;
  for (std::size_t i = 0; i < array.ndim(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(array.shape(i));
  }
  return "[" + text + "]";
}

std::string dtype_text(const Array& array) {
  using Code = nb::dlpack::dtype_code;
  const nb::dlpack::dtype dtype = array.view.dtype();
  std::string kind = "of DLPack's code " + std::to_string(dtype.code) + ", bits ";
  switch (static_cast<Code>(dtype.code)) {
    case Code::Int:
      kind = "int";
      break;
    case Code::UInt:
      kind = "uint";
      break;
    case Code::Float:
      kind = "float";
      break;
    case Code::Bfloat:
      kind = "bfloat";
      break;
    case Code::Complex:
      kind = "complex";
      break;
    case Code::Bool:
      return "bool";
    default:
      break;
  }
  return kind + std::to_string(dtype.bits);
}

}  // namespace ropejit::python
