#ifndef ROPEJIT_PYTHON_CORE_TENSORS_H_
#define ROPEJIT_PYTHON_CORE_TENSORS_H_

#include <nanobind/nanobind.h>

struct CUstream_st;

namespace ropejit::python {

/// PyTorch, which is not linked: what has to be asked of it before the memory of its tensors is
/// used without an operator of its own. A question costs tens of nanoseconds.
class Torch {
 public:
  /// `hooks` are the members below by name.
  explicit Torch(const nanobind::dict& hooks);

  /// The one that the package has imported, kept for good; null before.
  static const Torch* instance();
  static void set_instance(const nanobind::dict& hooks);

  /// Whether a dispatch mode or forward-mode differentiation is active.
  bool is_watching() const;
  /// Whether a transform of torch.func is: its tensors have no memory, so whoever fails to read one
  /// asks.
  bool is_transforming() const;
  bool is_grad_enabled() const;
  /// A tensor, or a parameter, of no type of its own and without a gradient to record.
  bool is_plain(nanobind::handle object, bool grad_enabled) const;
  /// A view whose elements are the negated ones of its memory.
  bool is_negated(nanobind::handle tensor) const;
  bool is_tensor(nanobind::handle object) const;
  /// Counts a write of each tensor in a tuple, so that autograd notices if it has saved one;
  /// refuses what PyTorch refuses to write.
  void count_writes(const nanobind::tuple& tensors) const;
  nanobind::object empty_like(nanobind::handle tensor) const;
  /// For releases whose tensors have no exchange API: without history, which `__dlpack__` refuses
  /// to carry, and the current stream of a device.
  nanobind::object detach(nanobind::handle tensor) const;
  CUstream_st* current_stream(int device) const;

 private:
  nanobind::object tensor_type_, parameter_type_;
  nanobind::object dispatch_modes_, transforms_active_, forward_ad_, grad_enabled_;
  nanobind::object increment_versions_, empty_like_, current_stream_;
  nanobind::object requires_grad_, is_neg_, current_level_;  ///< names, interned
};

}  // namespace ropejit::python

#endif  // ROPEJIT_PYTHON_CORE_TENSORS_H_
