#ifndef ROPEJIT_PYTHON_CORE_ROTARY_H_
#define ROPEJIT_PYTHON_CORE_ROTARY_H_

#include <nanobind/nanobind.h>

#include <cstdint>

#include "ropejit/ropejit.h"

namespace ropejit::python {

/// Adds the class Rotary, which is RotaryParameters, and what makes one of a model's config.
void bind_rotary(nanobind::module_& module);

/// `length` as far as frequencies depend on it: 0 for what a shorter sequence has as well.
std::int64_t effective_length(const RotaryParameters& parameters, std::int64_t length);

}  // namespace ropejit::python

#endif  // ROPEJIT_PYTHON_CORE_ROTARY_H_
