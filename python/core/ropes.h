#ifndef ROPEJIT_PYTHON_CORE_ROPES_H_
#define ROPEJIT_PYTHON_CORE_ROPES_H_

#include <memory>
#include <optional>
#include <vector>

#include "core/call.h"

namespace ropejit::python {

/// The handles that were made for one set of frequencies, or for tables: one per spec and device.
/// Its state is guarded by the interpreter's lock, which is released while a handle is made.
class Ropes {
 public:
  /// Without frequencies: for calls with a table. `runtime` is shared with other Ropes.
  Ropes(std::shared_ptr<Runtime> runtime, std::optional<Frequencies> frequencies);

  /// Rotates. On a CUDA device asynchronously on `stream`; on the CPU with the interpreter's lock
  /// released. The first call of a spec may compile. Throws ValueError, TypeError and
  /// ropejit::Error.
  void apply(const Call& call, CUstream_st* stream);

 private:
  Rope find(const RopeSpec& spec, int device);

  std::shared_ptr<Runtime> runtime_;
  std::optional<Frequencies> frequencies_;
  std::vector<Rope> made_;
};

}  // namespace ropejit::python

#endif  // ROPEJIT_PYTHON_CORE_ROPES_H_
