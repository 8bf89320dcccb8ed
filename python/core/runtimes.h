#ifndef ROPEJIT_PYTHON_CORE_RUNTIMES_H_
#define ROPEJIT_PYTHON_CORE_RUNTIMES_H_

#include <nanobind/nanobind.h>

#include <memory>
#include <string>
#include <vector>

#include "ropejit/ropejit.h"

namespace ropejit::python {

/// The process's Runtime, and those that it had before its cache folder was changed: handles made
/// by these live on, and their counts go on. Guarded by the interpreter's lock.
class Runtimes {
 public:
  Runtimes();

  std::shared_ptr<Runtime> current() const { return all_.back(); }
  /// Of kernels that are asked for from now on; empty: keep them in memory only.
  void set_cache_dir(const std::string& folder);
  /// Sums over all of them.
  Stats stats() const;

 private:
  std::vector<std::shared_ptr<Runtime>> all_;
};

/// Adds the class Runtimes.
void bind_runtimes(nanobind::module_& module);

}  // namespace ropejit::python

#endif  // ROPEJIT_PYTHON_CORE_RUNTIMES_H_
