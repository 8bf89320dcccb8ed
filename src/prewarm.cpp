#include "src/prewarm.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <mutex>
#include <set>

#include "ropejit/error.h"
#include "src/for_each_index.h"

namespace ropejit {
namespace {

/// Every distinct kernel, in the order of first mention.
std::vector<PreparedBuild> jobs_for(const TuningTable& table, std::span<const RopeSpec> specs,
                                    std::span<const std::string> archs) {
  std::vector<PreparedBuild> jobs;
  std::set<Key> seen;
  for (const std::string& arch : archs) {
    for (const RopeSpec& spec : specs) {
      for (const KernelPlan::Kernel& kernel : table.all_kernels(spec, arch)) {
        PreparedBuild prepared({kernel.spec, kernel.config, arch});
        if (seen.insert(prepared.key).second) jobs.push_back(std::move(prepared));
      }
    }
  }
  return jobs;
}

/// What was just built has to be usable by the next process: reads it back as that process will.
void require_in_folder(const CubinCache& cache, const Key& key) {
  const CubinCache::Lookup found = cache.get(key);
  if (found.status == CubinCache::Lookup::Status::hit) return;
  const std::string reason = found.reason.empty() ? "there is no such entry" : found.reason;
  throw Error(ErrorCode::io, fmt::format("compiled, but cache folder {} does not hold it: {}",
                                         cache.directory().string(), reason));
}

PrewarmResult run(Builder& builder, const PreparedBuild& job) {
  using Clock = std::chrono::steady_clock;
  PrewarmResult result{
      PrewarmResult::Status::failed, describe(job.request), job.request.arch, job.key.hex(), "", 0};
  const auto start = Clock::now();
  try {
    const BuiltCubin built = builder.build(job, Reuse::this_version);
    if (built.compiled) require_in_folder(*builder.cache(), job.key);
    result.status =
        built.compiled ? PrewarmResult::Status::compiled : PrewarmResult::Status::cached;
  } catch (const std::exception& error) {
    result.message = error.what();
  }
  result.milliseconds = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  return result;
}

/// A device is looked up by its plain name, so a kernel built for another would never be found.
void check_plain(const std::string& arch) {
  if (arch.empty() || (arch.back() != 'a' && arch.back() != 'f')) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("arch = {}: kernels are looked up by the plain architecture; use {}",
                          arch, arch.substr(0, arch.size() - 1)));
}

void check_folder(const Builder& builder) {
  if (builder.cache() == nullptr) {
    throw Error(ErrorCode::invalid_argument, "cache_dir = \"\": pre-warming needs a cache folder");
  }
  if (const auto problem = builder.cache()->probe()) {
    throw Error(ErrorCode::io, fmt::format("cache folder {}: {}",
                                           builder.cache()->directory().string(), *problem));
  }
}

}  // namespace

std::vector<PrewarmResult> prewarm(Builder& builder, const TuningTable& table,
                                   std::span<const RopeSpec> specs,
                                   std::span<const std::string> archs, int threads,
                                   const PrewarmProgress& progress) {
  if (threads < 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("threads = {}: must be positive, or 0 for one per core", threads));
  }
  for (const RopeSpec& spec : specs) validate(spec);
  for (const std::string& arch : archs) {
    builder.compiler().check_arch(arch);
    check_plain(arch);
  }
  check_folder(builder);
  const std::vector<PreparedBuild> jobs = jobs_for(table, specs, archs);
  std::vector<PrewarmResult> results(jobs.size());
  std::mutex progress_mutex;
  std::size_t done = 0;
  for_each_index(jobs.size(), static_cast<unsigned>(threads), [&](std::size_t i) {
    results[i] = run(builder, jobs[i]);
    const std::lock_guard lock(progress_mutex);
    ++done;
    if (progress) progress(done, jobs.size(), results[i]);
  });
  return results;
}

}  // namespace ropejit
