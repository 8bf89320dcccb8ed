#ifndef ROPEJIT_TOOLS_DOCTOR_REPORT_H_
#define ROPEJIT_TOOLS_DOCTOR_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ropejit/runtime.h"
#include "src/driver.h"

namespace ropejit {

struct DriverReport {
  std::string library;  ///< the file that is mapped; empty: none
  std::string version;  ///< of CUDA that it supports: `13.0`
  std::vector<DeviceInfo> devices;
  std::string error;  ///< empty: none
};

struct NvrtcReport {
  /// One place of the documented search and what became of it.
  struct Place {
    std::string path;
    std::string origin;
    std::string outcome;  ///< `taken`, `failed` or, after the one that was taken, `not needed`
  };
  std::string library;  ///< the file that is mapped; empty: none
  std::string origin;
  std::string version;  ///< `NVRTC 13.0`
  std::vector<int> architectures;
  std::vector<Place> places;
  std::string error;
};

struct CacheReport {
  std::string folder;  ///< empty: nothing names one
  std::string error;   ///< why it cannot be written or listed
  std::size_t entries = 0;
  std::size_t damaged = 0;
  std::uint64_t bytes = 0;
};

struct CompilerReport {
  std::string command;
  std::string error;
};

/// Something that would not work here.
struct Problem {
  std::string what;
  std::string why;
  bool asked_for;  ///< a variable or option names the thing that does not work
};

/// What `ropejit doctor` finds.
struct DoctorReport {
  DriverReport driver;
  NvrtcReport nvrtc;
  CacheReport cache;
  CompilerReport host_compiler;
  std::vector<std::pair<std::string, std::string>>
      environment;  ///< variables that count and are set
  std::vector<Problem> problems;
};

/// Tries everything once. Creates the cache folder, as the first kernel would. `folder_given`: by
/// an option, not by the defaults.
DoctorReport examine(const RuntimeOptions& options, bool folder_given);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_DOCTOR_REPORT_H_
