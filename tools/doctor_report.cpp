#include "tools/doctor_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "cache/cubin_cache.h"
#include "ropejit/error.h"
#include "src/compiler.h"
#include "src/tuning_table.h"
#include "tools/host_kernel.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVariables[] = {"ROPEJIT_CACHE_DIR",
                                      "ROPEJIT_NVRTC",
                                      "ROPEJIT_CUDA",
                                      "ROPEJIT_NO_COMPILE",
                                      "ROPEJIT_CPU_FALLBACK",
                                      "ROPEJIT_TUNED",
                                      "XDG_CACHE_HOME",
                                      "XDG_CONFIG_HOME",
                                      "HOME",
                                      "CUDA_HOME",
                                      "CUDA_PATH",
                                      "CONDA_PREFIX",
                                      "VIRTUAL_ENV",
                                      "LD_LIBRARY_PATH",
                                      "CUDA_VISIBLE_DEVICES",
                                      "CXX",
                                      "TMPDIR"};

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

/// The first line of a message, without an announcement of further ones.
std::string summary(std::string_view message) {
  std::string_view line = message.substr(0, message.find('\n'));
  constexpr std::string_view kAnnouncement = "; tried:";
  if (line.ends_with(kAnnouncement)) line.remove_suffix(kAnnouncement.size());
  return std::string(line);
}

DriverReport examine_driver(const std::string& library) {
  DriverReport report;
  try {
    const auto driver = Driver::open(library);
    report.library = driver->path();
    report.version = fmt::format("{}.{}", driver->version() / 1000, driver->version() % 1000 / 10);
    for (int ordinal = 0; ordinal < driver->device_count(); ++ordinal) {
      report.devices.push_back(driver->device_info(ordinal));
    }
  } catch (const Error& error) {
    report.error = error.what();
  }
  return report;
}

/// Whether the loader made `library`, a path, of `candidate`.
bool is_taken(const LibraryCandidate& candidate, const LibraryCandidate& library) {
  if (candidate.origin != library.origin) return false;
  std::error_code ignored;
  return fs::path(candidate.path).filename() == fs::path(library.path).filename() ||
         fs::equivalent(candidate.path, library.path, ignored);
}

/// The places in the order of the search. The first that can be the library that was taken is it:
/// the ones before it failed.
std::vector<NvrtcReport::Place> places_of(const std::vector<LibraryCandidate>& candidates,
                                          const Compiler* compiler) {
  std::vector<NvrtcReport::Place> places;
  bool taken = false;
  for (const LibraryCandidate& candidate : candidates) {
    std::string outcome = taken ? "not needed" : "failed";
    if (!taken && compiler != nullptr && is_taken(candidate, compiler->library())) {
      taken = true;
      outcome = "taken";
    }
    places.push_back({candidate.path, candidate.origin, std::move(outcome)});
  }
  return places;
}

NvrtcReport examine_nvrtc(const std::string& library) {
  NvrtcReport report;
  const std::vector<LibraryCandidate> candidates = nvrtc_candidates(library);
  try {
    const Compiler compiler(library);
    report.library = compiler.library().path;
    report.origin = compiler.library().origin;
    report.version = compiler.version();
    report.architectures = compiler.architectures();
    report.places = places_of(candidates, &compiler);
  } catch (const Error& error) {
    report.error = error.what();
    report.places = places_of(candidates, nullptr);
  }
  return report;
}

CacheReport examine_cache(const std::string& folder) {
  CacheReport report;
  report.folder = folder;
  if (folder.empty()) {
    report.error = "none of ROPEJIT_CACHE_DIR, XDG_CACHE_HOME and HOME is set";
    return report;
  }
  const CubinCache cache(folder);
  if (const auto problem = cache.probe()) report.error = *problem;
  try {
    for (const CubinCache::Listed& listed : cache.list()) {
      ++report.entries;
      report.bytes += listed.file_bytes;
      if (!listed.lookup.entry) ++report.damaged;
    }
  } catch (const fs::filesystem_error& error) {
    if (report.error.empty()) report.error = error.what();
  }
  return report;
}

CompilerReport examine_host_compiler() {
  try {
    return {fmt::format("{}", fmt::join(find_host_compiler().command, " ")), ""};
  } catch (const Error& error) {
    return {"", error.what()};
  }
}

void add_driver_problems(DoctorReport& report, bool asked_for) {
  const DriverReport& driver = report.driver;
  if (!driver.error.empty()) {
    report.problems.push_back({"running kernels on a GPU", summary(driver.error), asked_for});
  } else if (driver.devices.empty()) {
    report.problems.push_back({"running kernels on a GPU", "the driver sees no device", false});
  }
  const std::vector<int>& archs = report.nvrtc.architectures;
  for (const DeviceInfo& device : driver.devices) {
    const int arch = device.major * 10 + device.minor;
    if (archs.empty() || std::find(archs.begin(), archs.end(), arch) != archs.end()) continue;
    report.problems.push_back(
        {fmt::format("compiling for device {}", device.ordinal),
         fmt::format("{} does not produce {}", report.nvrtc.version, device.arch()), false});
  }
}

/// Files that are not what they should be; only the one that is named is taken for an error.
void add_tuning_problems(DoctorReport& report, const RuntimeOptions& options) {
  constexpr const char* kWhat = "choosing launch configs by a tuned file";
  RuntimeOptions logged = options;
  logged.log = [&](std::string_view line) {
    report.problems.push_back({kWhat, std::string(line), false});
  };
  try {
    TuningTable::load(logged);
  } catch (const Error& error) {
    report.problems.push_back({kWhat, error.what(), true});
  }
}

void add_problems(DoctorReport& report, const RuntimeOptions& options, bool folder_given) {
  add_driver_problems(report, !options.cuda_library.empty());
  if (!report.nvrtc.error.empty()) {
    report.problems.push_back({"compiling and pre-warming kernels", summary(report.nvrtc.error),
                               !options.nvrtc_library.empty()});
  } else if (!options.allow_compile) {
    report.problems.push_back(
        {"compiling and pre-warming kernels", "switched off by ROPEJIT_NO_COMPILE=1", false});
  }
  if (!report.cache.error.empty()) {
    report.problems.push_back({"keeping kernels on disk, and pre-warming", report.cache.error,
                               folder_given || is_set("ROPEJIT_CACHE_DIR")});
  }
  add_tuning_problems(report, options);
  if (!report.host_compiler.error.empty()) {
    report.problems.push_back({"`ropejit verify --cpu`", report.host_compiler.error, false});
  }
}

}  // namespace

DoctorReport examine(const RuntimeOptions& options, bool folder_given) {
  DoctorReport report;
  report.driver = examine_driver(options.cuda_library);
  report.nvrtc = examine_nvrtc(options.nvrtc_library);
  report.cache = examine_cache(options.cache_dir);
  report.host_compiler = examine_host_compiler();
  for (const char* variable : kVariables) {
    if (is_set(variable)) report.environment.emplace_back(variable, std::getenv(variable));
  }
  add_problems(report, options, folder_given);
  return report;
}

}  // namespace ropejit
