#include "core/runtimes.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <utility>

namespace nb = nanobind;
using namespace nb::literals;

namespace ropejit::python {
namespace {

nb::dict stats(const Runtimes& runtimes) {
  const Stats counts = runtimes.stats();
  nb::dict result;
  result["memory_hits"] = counts.memory_hits;
  result["disk_hits"] = counts.disk_hits;
  result["misses"] = counts.misses;
  result["damaged"] = counts.damaged;
  result["driver_refused"] = counts.driver_refused;
  result["compiles"] = counts.compiles;
  result["write_failures"] = counts.write_failures;
  result["unaligned_calls"] = counts.unaligned_calls;
  result["nvrtc_opened"] = counts.nvrtc_opened;
  return result;
}

const char* text_of(PrewarmResult::Status status) {
  switch (status) {
    case PrewarmResult::Status::compiled:
      return "compiled";
    case PrewarmResult::Status::cached:
      return "cached";
    default:
      return "failed";
  }
}

/// Everything that a model's config asks for, as dicts of what PrewarmResult says.
nb::list prewarm(const Runtimes& runtimes, const std::string& json, const std::string& origin,
                 const std::string& variants, const std::vector<std::string>& archs, int threads) {
  const auto runtime = runtimes.current();
  std::vector<PrewarmResult> results;
  {
    const nb::gil_scoped_release unlocked;
    results =
        runtime->prewarm(expand_variants(parse_model(json, origin).spec, variants), archs, threads);
  }
  nb::list list;
  for (const PrewarmResult& result : results) {
    nb::dict item;
    item["status"] = text_of(result.status);
    item["kernel"] = result.kernel;
    item["arch"] = result.arch;
    item["key"] = result.key;
    item["message"] = result.message;
    item["milliseconds"] = result.milliseconds;
    list.append(item);
  }
  return list;
}

}  // namespace

Runtimes::Runtimes() { all_.push_back(std::make_shared<Runtime>()); }

void Runtimes::set_cache_dir(const std::string& folder) {
  RuntimeOptions options = current()->options();
  if (options.cache_dir == folder) return;
  options.cache_dir = folder;
  all_.push_back(std::make_shared<Runtime>(std::move(options)));
}

Stats Runtimes::stats() const {
  Stats sum;
  for (const auto& runtime : all_) {
    const Stats counts = runtime->stats();
    sum.memory_hits += counts.memory_hits;
    sum.disk_hits += counts.disk_hits;
    sum.misses += counts.misses;
    sum.damaged += counts.damaged;
    sum.driver_refused += counts.driver_refused;
    sum.compiles += counts.compiles;
    sum.write_failures += counts.write_failures;
    sum.unaligned_calls += counts.unaligned_calls;
    sum.nvrtc_opened = sum.nvrtc_opened || counts.nvrtc_opened;
  }
  return sum;
}

void bind_runtimes(nb::module_& module) {
  nb::class_<Runtimes>(module, "Runtimes", "Owns the kernels and their cache.")
      .def(nb::new_([] { return std::make_shared<Runtimes>(); }))
      .def("stats", stats, "What was counted since the process began.")
      .def("set_cache_dir", &Runtimes::set_cache_dir, "folder"_a)
      .def_prop_ro("cache_dir",
                   [](const Runtimes& self) { return self.current()->options().cache_dir; })
      .def("prewarm", prewarm, "json"_a, "origin"_a, "variants"_a, "archs"_a, "threads"_a,
           "Builds the kernels of a model's config into the cache folder.");
}

}  // namespace ropejit::python
