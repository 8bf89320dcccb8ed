#include "core/array.h"

#include <algorithm>
#include <utility>

#include "core/tensors.h"

namespace ropejit::python {
namespace {

namespace nb = nanobind;
using Code = nb::dlpack::dtype_code;

template <class View>
std::optional<nb::ndarray<nb::ro>> try_view(nb::handle object) {
  View view;
  if (!nb::try_cast<View>(object, view, false)) return {};
  return nb::ndarray<nb::ro>(view);
}

void import_by(const ExchangeApi& api, std::optional<Array>& to, nb::handle object,
               std::string_view name) {
  DlTensor view;
  if (api.dltensor_from_py_object_no_sync(object.ptr(), &view) == 0) {
    to.emplace(name, view, &api);
    return;
  }
  const nb::python_error error;
  const std::string why = nb::str(error.value()).c_str();
  type_error(std::string(name) + ": " + why.substr(0, why.find('\n')));
}

}  // namespace

void value_error(const std::string& message) { throw nb::value_error(message.c_str()); }
void type_error(const std::string& message) { throw nb::type_error(message.c_str()); }

Array::Array(std::string_view name, const DlTensor& view, const ExchangeApi* api)
    : name_(name),
      data_(static_cast<char*>(view.data) + view.byte_offset),
      type_{view.code, view.bits, view.lanes},
      device_type_(view.device_type),
      device_id_(view.device_id),
      api_(api) {
  set_dimensions(view.ndim, view.shape, view.strides);
}

Array::Array(std::string_view name, nb::ndarray<nb::ro> view, bool is_tensor)
    : name_(name),
      data_(const_cast<void*>(view.data())),
      type_{view.dtype().code, view.dtype().bits, view.dtype().lanes},
      device_type_(view.device_type()),
      device_id_(view.device_id()),
      is_tensor_(is_tensor) {
  set_dimensions(static_cast<std::int64_t>(view.ndim()), view.shape_ptr(), view.stride_ptr());
  owner_ = std::move(view);
}

void Array::set_dimensions(std::int64_t ndim, const std::int64_t* shape,
                           const std::int64_t* strides) {
  ndim_ = static_cast<std::size_t>(ndim);
  if (ndim_ > kMostDimensions) {
    value_error(std::string(name_) + ": has " + std::to_string(ndim) +
                " dimensions: must have at most 4");
  }
  std::copy_n(shape, ndim_, shape_.begin());
  if (strides != nullptr) {
    std::copy_n(strides, ndim_, stride_.begin());
    return;
  }
  std::int64_t dense = 1;
  for (std::size_t i = ndim_; i-- > 0; dense *= shape_[i]) stride_[i] = dense;
}

void Array::add_batch() {
  std::copy_backward(shape_.begin(), shape_.begin() + 3, shape_.begin() + 4);
  std::copy_backward(stride_.begin(), stride_.begin() + 3, stride_.begin() + 4);
  shape_[0] = 1;
  stride_[0] = shape_[1] * stride_[1];
  ndim_ = 4;
  batch_added_ = true;
}

CUstream_st* Array::current_stream() const {
  if (api_ == nullptr) {
    return is_tensor_ ? Torch::instance()->current_stream(device_id_) : nullptr;
  }
  void* stream = nullptr;
  if (api_->current_work_stream(device_type_, device_id_, &stream) != 0) nb::raise_python_error();
  return static_cast<CUstream_st*>(stream);
}

std::string Array::shape_text() const {
  std::string text;
  for (std::size_t i = batch_added_ ? 1 : 0; i < ndim_; ++i) {
    text += (text.empty() ? "" : ", ") + std::to_string(shape_[i]);
  }
  return "[" + text + "]";
}

std::string Array::type_text() const {
  std::string kind = "of DLPack's code " + std::to_string(type_.code) + ", bits ";
  switch (static_cast<Code>(type_.code)) {
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
  return kind + std::to_string(type_.bits);
}

void import_array(std::optional<Array>& to, nb::handle object, std::string_view name,
                  Access access) {
  if (object.is_none()) return;
  if (const ExchangeApi* api = exchange_api_of(object)) {
    import_by(*api, to, object, name);
    return;
  }
  const Torch* torch = Torch::instance();
  nb::object detached;
  if (torch != nullptr && torch->is_tensor(object)) {
    detached = torch->detach(object);
    object = detached;
  }
  const bool is_tensor = detached.is_valid();
  if (access == Access::write) {
    if (auto view = try_view<nb::ndarray<>>(object)) {
      to.emplace(name, *std::move(view), is_tensor);
      return;
    }
  }
  auto view = try_view<nb::ndarray<nb::ro>>(object);
  if (!view) {
    type_error(std::string(name) + ": a " + nb::type_name(object.type()).c_str() +
               ": must be an array that speaks DLPack (PyTorch, CuPy, JAX, NumPy), of a dtype that "
               "DLPack knows, with strides of whole elements");
  }
  if (access == Access::write) value_error(std::string(name) + ": is read-only");
  to.emplace(name, *std::move(view), is_tensor);
}

int device_of(const Array& array) {
  switch (array.device_type()) {
    case nb::device::cpu::value:
    case nb::device::cuda_host::value:
      return kCpuDevice;
    case nb::device::cuda::value:
    case nb::device::cuda_managed::value:
      return array.device_id();
    default:
      value_error(std::string(array.name()) + ": is on a device of DLPack's type " +
                  std::to_string(array.device_type()) + ": must be on the CPU or on CUDA");
  }
}

Dtype dtype_of(const Array& array) {
  constexpr ElementType kFloat16{2, 16};
  if (array.type() == kBfloat16) return Dtype::bfloat16;
  if (array.type() == kFloat16) return Dtype::float16;
  if (array.type() == kFloat32) return Dtype::float32;
  type_error(std::string(array.name()) + ": dtype " + array.type_text() +
             ": must be float32, float16 or bfloat16");
}

IndexType index_type_of(const Array& array) {
  constexpr ElementType kInt32{0, 32}, kInt64{0, 64};
  if (array.type() == kInt32) return IndexType::int32;
  if (array.type() == kInt64) return IndexType::int64;
  type_error(std::string(array.name()) + ": dtype " + array.type_text() +
             ": must be int32 or int64");
}

}  // namespace ropejit::python
