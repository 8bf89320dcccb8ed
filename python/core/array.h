#ifndef ROPEJIT_PYTHON_CORE_ARRAY_H_
#define ROPEJIT_PYTHON_CORE_ARRAY_H_

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/exchange.h"
#include "ropejit/ropejit.h"

namespace ropejit::python {

/// Element type, as DLPack numbers it.
struct ElementType {
  std::uint8_t code = 0, bits = 0;
  std::uint16_t lanes = 1;

  bool operator==(const ElementType&) const = default;
};
inline constexpr ElementType kFloat32{2, 32}, kFloat64{2, 64}, kBfloat16{4, 16};

/// An array of any library that speaks DLPack (or, on the CPU, the buffer protocol), where it lies
/// and with the strides that it has: nothing is copied. The memory lives as long as the argument
/// that it was made from and this.
class Array {
 public:
  Array(std::string_view name, const DlTensor& view, const ExchangeApi* api);
  /// `is_tensor`: of PyTorch.
  Array(std::string_view name, nanobind::ndarray<nanobind::ro> view, bool is_tensor);

  std::string_view name() const { return name_; }  ///< of the argument, for messages
  void* data() const { return data_; }
  ElementType type() const { return type_; }
  std::size_t ndim() const { return ndim_; }
  std::int64_t shape(std::size_t i) const { return shape_[i]; }
  std::int64_t stride(std::size_t i) const { return stride_[i]; }  ///< in elements
  std::int32_t device_type() const { return device_type_; }
  std::int32_t device_id() const { return device_id_; }

  /// [tokens, ...] becomes [1, tokens, ...]; messages go on to print the shape without the 1.
  void add_batch();

  /// What its library works on now, on the array's CUDA device; the default stream where the
  /// library does not say.
  CUstream_st* current_stream() const;

  /// Such as `[2, 16, 8, 64]`, for messages.
  std::string shape_text() const;
  /// Such as `float32`, for messages.
  std::string type_text() const;

 private:
  static constexpr std::size_t kMostDimensions = 4;

  void set_dimensions(std::int64_t ndim, const std::int64_t* shape, const std::int64_t* strides);

  std::string_view name_;
  void* data_;
  ElementType type_;
  std::int32_t device_type_, device_id_;
  std::size_t ndim_ = 0;
  bool batch_added_ = false, is_tensor_ = false;
  std::array<std::int64_t, kMostDimensions> shape_{}, stride_{};
  const ExchangeApi* api_ = nullptr;
  nanobind::ndarray<nanobind::ro> owner_{};
};

enum class Access { read, write };

/// Makes `to` the argument `name` as an array; nothing for None. Throws TypeError for what is no
/// array, and ValueError for one with more than four dimensions or a read-only one that is to be
/// written; all name it.
void import_array(std::optional<Array>& to, nanobind::handle object, std::string_view name,
                  Access access);

/// kCpuDevice, or the ordinal of a CUDA device. Throws ValueError for any other device.
int device_of(const Array& array);
/// Throws TypeError that names the argument unless it has one of the library's dtypes.
Dtype dtype_of(const Array& array);
/// Throws TypeError that names the argument unless it is int32 or int64.
IndexType index_type_of(const Array& array);

/// Throw ValueError and TypeError.
[[noreturn]] void value_error(const std::string& message);
[[noreturn]] void type_error(const std::string& message);

}  // namespace ropejit::python

#endif  // ROPEJIT_PYTHON_CORE_ARRAY_H_
