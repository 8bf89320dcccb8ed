#include "src/prewarm.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "ropejit/error.h"
#include "src/source.h"

namespace ropejit {
namespace {

struct Job {
  BuildRequest request;
  Key key;
};

/// Every distinct kernel, in the order of first mention.
std::vector<Job> jobs_for(std::span<const RopeSpec> specs, std::span<const std::string> archs) {
  std::vector<Job> jobs;
  std::set<Key> seen;
  for (const std::string& arch : archs) {
    for (const RopeSpec& spec : specs) {
      for (const RopeSpec& kernel_spec : kernel_specs(spec)) {
        BuildRequest request{kernel_spec, LaunchConfig{}, arch};
        const Key key = Builder::key_of(request);
        if (seen.insert(key).second) jobs.push_back({std::move(request), key});
      }
    }
  }
  return jobs;
}

PrewarmResult run(Builder& builder, const Job& job) {
  using Clock = std::chrono::steady_clock;
  PrewarmResult result{PrewarmResult::Status::failed,
                       describe(job.request.kernel_spec),
                       job.request.arch,
                       job.key.hex(),
                       "",
                       0};
  const auto start = Clock::now();
  try {
    const BuiltCubin built = builder.build(job.request, Reuse::this_version);
    result.status =
        built.compiled ? PrewarmResult::Status::compiled : PrewarmResult::Status::cached;
    // What was just built has to be usable by the next process: read it back as that process will.
    if (built.compiled && builder.cache()->get(job.key).status != CubinCache::Lookup::Status::hit) {
      result.status = PrewarmResult::Status::failed;
      result.message =
          fmt::format("compiled, but {} does not hold it", builder.cache()->directory().string());
    }
  } catch (const std::exception& error) {
    result.message = error.what();
  }
  result.milliseconds = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  return result;
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

std::vector<PrewarmResult> prewarm(Builder& builder, std::span<const RopeSpec> specs,
                                   std::span<const std::string> archs, int threads,
                                   const PrewarmProgress& progress) {
  for (const RopeSpec& spec : specs) validate(spec);
  for (const std::string& arch : archs) builder.compiler().check_arch(arch);
  check_folder(builder);
  const std::vector<Job> jobs = jobs_for(specs, archs);
  std::vector<PrewarmResult> results(jobs.size());
  std::atomic<std::size_t> next{0};
  std::size_t done = 0;
  std::mutex progress_mutex;
  const auto work = [&] {
    for (std::size_t i = next++; i < jobs.size(); i = next++) {
      results[i] = run(builder, jobs[i]);
      const std::lock_guard lock(progress_mutex);
      ++done;
      if (progress) progress(done, jobs.size(), results[i]);
    }
  };
  const unsigned wanted = threads > 0 ? static_cast<unsigned>(threads)
                                      : std::max(1u, std::thread::hardware_concurrency());
  {
    std::vector<std::jthread> pool;
    for (std::size_t i = 1; i < std::min<std::size_t>(wanted, jobs.size()); ++i)
      pool.emplace_back(work);
    work();
  }
  return results;
}

}  // namespace ropejit
