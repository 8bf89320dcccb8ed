#include "tools/wavelength_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace ropejit {
namespace {

constexpr std::size_t kMaxColumns = 64;
constexpr int kRowsPerDecade = 2;

/// The decades that everything drawn lies between.
struct Range {
  int bottom = 1000;
  int top = -1000;

  void include(double positions) {
    if (!std::isfinite(positions)) return;
    bottom = std::min(bottom, static_cast<int>(std::floor(std::log10(positions))));
    top = std::max(top, static_cast<int>(std::ceil(std::log10(positions))));
  }
  int rows() const { return kRowsPerDecade * (top - bottom) + 1; }
  /// From 0, upwards.
  int row_of(double positions) const {
    return static_cast<int>(std::lround(kRowsPerDecade * (std::log10(positions) - bottom)));
  }
};

Range range_of(std::span<const WavelengthCurve> curves, std::span<const MarkedWavelength> marked) {
  Range range;
  for (const WavelengthCurve& curve : curves) {
    for (const double positions : curve.wavelengths) range.include(positions);
  }
  for (const MarkedWavelength& line : marked) range.include(line.positions);
  return range;
}

/// One line of the plot, without its axis.
struct Row {
  std::string cells;
  std::string label;
};

void draw(const WavelengthCurve& curve, const Range& range, std::size_t stride,
          std::vector<Row>& rows) {
  for (std::size_t pair = 0; pair < curve.wavelengths.size(); pair += stride) {
    if (!std::isfinite(curve.wavelengths[pair])) continue;
    const auto row = static_cast<std::size_t>(range.row_of(curve.wavelengths[pair]));
    char& cell = rows[row].cells[pair / stride];
    cell = cell == ' ' || cell == '-' ? curve.mark : '#';
  }
}

void draw(const MarkedWavelength& line, const Range& range, std::vector<Row>& rows) {
  Row& row = rows[static_cast<std::size_t>(range.row_of(line.positions))];
  std::replace(row.cells.begin(), row.cells.end(), ' ', '-');
  row.label += (row.label.empty() ? "" : ", ") + line.label;
}

}  // namespace

std::string plot_wavelengths(std::span<const WavelengthCurve> curves,
                             std::span<const MarkedWavelength> marked) {
  const std::size_t pairs = curves.front().wavelengths.size();
  const std::size_t stride = (pairs + kMaxColumns - 1) / kMaxColumns;
  const std::size_t columns = (pairs + stride - 1) / stride;
  const Range range = range_of(curves, marked);
  std::vector<Row> rows(static_cast<std::size_t>(range.rows()), Row{std::string(columns, ' '), ""});
  for (const MarkedWavelength& line : marked) draw(line, range, rows);
  for (const WavelengthCurve& curve : curves) draw(curve, range, stride, rows);

  std::string text;
  for (int row = range.rows() - 1; row >= 0; --row) {
    const Row& drawn = rows[static_cast<std::size_t>(row)];
    std::string axis;
    if (row % kRowsPerDecade == 0) axis = fmt::format("1e{}", range.bottom + row / kRowsPerDecade);
    std::string line = fmt::format("{:>6} |{} {}", axis, drawn.cells, drawn.label);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  text += fmt::format("{:>6} +{:-<{}}\n", "", "", columns);
  return text + fmt::format("{:>6}  pairs 0 to {}\n", "", pairs - 1);
}

}  // namespace ropejit
