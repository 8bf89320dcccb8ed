#ifndef ROPEJIT_TOOLS_TUNE_COMPARE_H_
#define ROPEJIT_TOOLS_TUNE_COMPARE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "src/tuning_file.h"

namespace ropejit {

/// A token bucket for which two tuned files choose differently.
struct Disagreement {
  std::int64_t tokens;  ///< bucket_tokens()
  LaunchConfig a;
  LaunchConfig b;
};

/// What two tuned files choose for one spec on one class of devices, over all token buckets.
struct SpecAgreement {
  DeviceClass device_class;
  SpecClass spec;
  std::vector<Disagreement> differing;
};

struct FileAgreement {
  std::vector<SpecAgreement> specs;  ///< that both files have entries for
  std::size_t only_a = 0;            ///< specs that the other file has no entry for
  std::size_t only_b = 0;

  std::size_t buckets() const noexcept;
  std::size_t same() const noexcept;
};
FileAgreement compare(const TuningFile& a, const TuningFile& b);

/// One line per bucket that differs, and a last line such as `the same config in 21 of 22 buckets
/// (95.5%) of 1 spec`.
std::string describe(const FileAgreement& agreement);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_COMPARE_H_
