#include "src/build.h"

#include <fmt/format.h>

#include <utility>

#include "ropejit/error.h"

namespace ropejit {

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

Key Builder::key_of(const BuildRequest& request) {
  return make_key(render(request.kernel_spec, request.config, request.body).text, compile_options(),
                  request.arch);
}

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

Bytes Builder::compile(const BuildRequest& request, const Key& key, const std::string& source) {
  const std::string kernel = describe(request.kernel_spec);
  if (!options_.allow_compile) {
    throw Error(
        ErrorCode::not_cached,
        fmt::format("kernel {} for {} is not in the cache ({}, key {}) and compiling is switched "
                    "off; `ropejit prewarm` builds it",
                    kernel, request.arch,
                    options_.cache_dir.empty() ? "no folder" : options_.cache_dir, key.hex()));
  }
  const Compiler& nvrtc = compiler();
  nvrtc.check_arch(request.arch);
  Bytes cubin = nvrtc.compile(source, "rope.cu", request.arch, compile_options());
  count(counters_.compiles);
  if (cache_ != nullptr) {
    const Entry entry{key, fmt::format("{} threads {}", kernel, request.config.block_threads),
                      request.arch, nvrtc.version(), cubin};
    if (const auto problem = cache_->put(entry)) {
      count(counters_.write_failures);
      log_folder_problem(*problem);
    }
  }
  return cubin;
}

BuiltCubin Builder::build(const BuildRequest& request, Reuse reuse) {
  const Source source = render(request.kernel_spec, request.config, request.body);
  const Key key = make_key(source.text, compile_options(), request.arch);
  if (auto entry = look_up(key, reuse)) return {key, std::move(entry->cubin), false};
  return {key, compile(request, key, source.text), true};
}

}  // namespace ropejit
