#include "src/build.h"

#include <fmt/format.h>

#include <utility>

#include "ropejit/error.h"

namespace ropejit {

std::string describe(const BuildRequest& request) {
  const std::string config = describe(effective_config(request.kernel_spec, request.config));
  // It begins with the threads, which are no part of a kernel.
  return fmt::format("{}{}{}", describe(request.kernel_spec), config.substr(config.find(", ")),
                     request.body == Body::copy ? ", copy" : "");
}

PreparedBuild::PreparedBuild(BuildRequest of)
    : request(std::move(of)),
      source(render(request.kernel_spec, request.config, request.body).text),
      key(make_key(source, compile_options(), request.arch)) {}

Builder::Builder(Options options, Counters& counters)
    : options_(std::move(options)), counters_(counters) {
  if (!options_.cache_dir.empty()) cache_ = std::make_unique<CubinCache>(options_.cache_dir);
}

void Builder::log(const std::string& line) const {
  if (options_.log) options_.log(line);
}

void Builder::log_folder_problem(const std::string& line) {
  std::call_once(folder_problem_logged_, [&] {
    log(fmt::format("cache folder {}: {}; going on without it (said once)", options_.cache_dir,
                    line));
  });
}

const Compiler& Builder::compiler() {
  if (!options_.allow_compile) {
    throw Error(ErrorCode::invalid_argument,
                "allow_compile = false: NVRTC is not to be opened, and this needs it");
  }
  const std::lock_guard lock(compiler_mutex_);
  if (compiler_ == nullptr) compiler_ = std::make_unique<const Compiler>(options_.nvrtc_library);
  return *compiler_;
}

bool Builder::compiler_opened() const {
  const std::lock_guard lock(compiler_mutex_);
  return compiler_ != nullptr;
}

Key Builder::key_of(const BuildRequest& request) { return PreparedBuild(request).key; }

std::optional<Entry> Builder::look_up(const Key& key, Reuse reuse) {
  if (cache_ == nullptr || reuse == Reuse::nothing) return std::nullopt;
  CubinCache::Lookup found = cache_->get(key);
  switch (found.status) {
    case CubinCache::Lookup::Status::hit:
      if (reuse == Reuse::this_version && found.entry->compiler != compiler().version()) break;
      count(counters_.disk_hits);
      return std::move(found.entry);
    case CubinCache::Lookup::Status::damaged:
      count(counters_.damaged);
      log(fmt::format("cache entry {}: {}; rebuilding it", key.hex(), found.reason));
      break;
    case CubinCache::Lookup::Status::unreadable:
      log_folder_problem(found.reason);
      break;
    case CubinCache::Lookup::Status::absent:
      break;
  }
  count(counters_.misses);
  return std::nullopt;
}

Bytes Builder::compile(const PreparedBuild& prepared,
                       const std::function<void()>& before_compiling) {
  const std::string& arch = prepared.request.arch;
  const std::string kernel = describe(prepared.request);
  if (!options_.allow_compile) {
    throw Error(
        ErrorCode::not_cached,
        fmt::format("kernel {} for {} is not in the cache ({}, key {}) and compiling is switched "
                    "off; `ropejit prewarm` builds it",
                    kernel, arch, options_.cache_dir.empty() ? "no folder" : options_.cache_dir,
                    prepared.key.hex()));
  }
  const Compiler& nvrtc = compiler();
  nvrtc.check_arch(arch);
  if (before_compiling) before_compiling();
  Bytes cubin = nvrtc.compile(prepared.source, "rope.cu", arch, compile_options());
  count(counters_.compiles);
  if (cache_ != nullptr) {
    if (const auto problem = cache_->put({prepared.key, kernel, arch, nvrtc.version(), cubin})) {
      count(counters_.write_failures);
      log_folder_problem(*problem);
    }
  }
  return cubin;
}

BuiltCubin Builder::build(const PreparedBuild& prepared, Reuse reuse,
                          const std::function<void()>& before_compiling) {
  if (auto entry = look_up(prepared.key, reuse)) {
    return {prepared.key, std::move(entry->cubin), false};
  }
  return {prepared.key, compile(prepared, before_compiling), true};
}

BuiltCubin Builder::build(const BuildRequest& request, Reuse reuse) {
  return build(PreparedBuild(request), reuse);
}

}  // namespace ropejit
