#ifndef ROPEJIT_PYTHON_CORE_ROTATE_H_
#define ROPEJIT_PYTHON_CORE_ROTATE_H_

#include <nanobind/nanobind.h>

namespace ropejit::python {

/// Adds the class Ropes with its calls: apply() for any arrays, rotate_tensors() for tensors of
/// PyTorch of which nobody but their owner has to know.
void bind_ropes(nanobind::module_& module);

}  // namespace ropejit::python

#endif  // ROPEJIT_PYTHON_CORE_ROTATE_H_
