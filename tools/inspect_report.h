#ifndef ROPEJIT_TOOLS_INSPECT_REPORT_H_
#define ROPEJIT_TOOLS_INSPECT_REPORT_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ropejit/model.h"

namespace ropejit {

/// The frequencies of one set for sequences of one length.
struct InspectedFrequencies {
  std::int64_t length = 0;  ///< 0: any
  Frequencies frequencies;
};

/// What `ropejit inspect` says of one set of rotary parameters.
struct InspectedSet {
  RotarySet set;
  std::vector<InspectedFrequencies> lengths;  ///< one; more where they depend on the length
};

/// What `ropejit inspect` says of one model.
struct ModelReport {
  ModelRope model;
  std::vector<InspectedSet> sets;
  std::vector<RopeSpec> kernels;  ///< the default variants
};

ModelReport inspect_model(ModelRope model);

/// Radians per position and positions per turn of a pair; 0 and infinity if it stands still.
double frequency(std::uint64_t turns);
double wavelength(std::uint64_t turns);

/// The report for people, each line ended.
std::string to_text(const ModelReport& report);
/// The same of several models for programs: one JSON object with a list `models`, and wavelengths,
/// in positions, instead of a plot of them.
std::string to_json(std::span<const ModelReport> reports);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_INSPECT_REPORT_H_
