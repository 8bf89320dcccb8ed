#include "core/ropes.h"

#include <algorithm>
#include <utility>

namespace ropejit::python {
namespace {

void check_angles(const Call& call, bool has_frequencies) {
  if (has_frequencies && call.cos) value_error("cos: exact angles take no table");
  if (!has_frequencies && !call.cos) value_error("cos: must be given");
}

}  // namespace

Ropes::Ropes(std::shared_ptr<Runtime> runtime, std::optional<Frequencies> frequencies)
    : runtime_(std::move(runtime)), frequencies_(std::move(frequencies)) {}

void Ropes::apply(const Call& call, CUstream_st* stream) {
  check_angles(call, frequencies_.has_value());
  check(call);
  const int device = device_of(call.leader());
  const RopeSpec spec = spec_of(call);
  validate(spec);
  if (call.batch() == 0 || call.seq() == 0) return;
  const Rope rope = find(spec, device);
  if (device != kCpuDevice) {
    python::apply(rope, call, stream);
    return;
  }
  const nanobind::gil_scoped_release unlocked;
  python::apply(rope, call, stream);
}

Rope Ropes::find(const RopeSpec& spec, int device) {
  const auto fits = [&](const Rope& rope) {
    return rope.device() == device && rope.spec() == spec;
  };
  const auto known = std::find_if(made_.begin(), made_.end(), fits);
  if (known != made_.end()) return *known;
  const Rope rope = [&] {
    const nanobind::gil_scoped_release unlocked;
    return runtime_->rope(spec, frequencies_.value_or(Frequencies{}), device);
  }();
  // Another thread may have made one meanwhile: two alike do no harm.
  made_.push_back(rope);
  return rope;
}

}  // namespace ropejit::python
