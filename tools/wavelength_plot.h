#ifndef ROPEJIT_TOOLS_WAVELENGTH_PLOT_H_
#define ROPEJIT_TOOLS_WAVELENGTH_PLOT_H_

#include <span>
#include <string>
#include <vector>

namespace ropejit {

/// What is drawn: how many positions each pair takes for a turn.
struct WavelengthCurve {
  char mark;
  std::vector<double> wavelengths;  ///< above 0, by pair; infinite for a pair that stands still
};

/// A height that is marked by a line across.
struct MarkedWavelength {
  double positions;
  std::string label;
};

/// The curves as lines of text: pairs from left to right, at most 64 columns, wavelengths upwards
/// by their logarithm, two lines per factor of 10. Where curves meet stands `#`, and nothing where
/// a pair stands still. There is at least one curve, and all have as many pairs.
std::string plot_wavelengths(std::span<const WavelengthCurve> curves,
                             std::span<const MarkedWavelength> marked);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_WAVELENGTH_PLOT_H_
