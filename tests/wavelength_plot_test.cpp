#include "tools/wavelength_plot.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/command_line.h"

namespace ropejit {
namespace {

constexpr double kStill = std::numeric_limits<double>::infinity();

std::string plot(const std::vector<WavelengthCurve>& curves,
                 const std::vector<MarkedWavelength>& marked = {}) {
  return plot_wavelengths(curves, marked);
}

}  // namespace

TEST_CASE("a curve rises by two lines for a factor of 10") {
  CHECK(plot({{'*', {1.0, 3.16, 10.0, 31.6, 100.0}}}) ==
        "   1e2 |    *\n"
        "       |   *\n"
        "   1e1 |  *\n"
        "       | *\n"
        "   1e0 |*\n"
        "       +-----\n"
        "        pairs 0 to 4\n");
}

TEST_CASE("the axis spans what is marked as well, and a mark does not hide the curve") {
  CHECK(plot({{'*', {2.0, 10.0}}}, {{10.0, "ten"}, {900.0, "far"}, {1100.0, "farther"}}) ==
        "   1e4 |\n"
        "       |\n"
        "   1e3 |-- far, farther\n"
        "       |\n"
        "   1e2 |\n"
        "       |\n"
        "   1e1 |-* ten\n"
        "       |*\n"
        "   1e0 |\n"
        "       +--\n"
        "        pairs 0 to 1\n");
}

TEST_CASE("curves that meet share a mark, and pairs that stand still have none") {
  CHECK(plot({{'*', {1.0, 10.0, 10.0}}, {'o', {1.0, 1.0, kStill}}}) ==
        "   1e1 | **\n"
        "       |\n"
        "   1e0 |#o\n"
        "       +---\n"
        "        pairs 0 to 2\n");
}

TEST_CASE("more pairs than columns are thinned out") {
  std::vector<double> wavelengths(130, 5.0);
  wavelengths[129] = 50.0;  // of pair 129, column 43, which pair 129 is drawn in
  const std::string text = plot({{'*', wavelengths}});
  const std::vector<std::string> lines = lines_of(text);
  CHECK(lines.front().starts_with("   1e2 |"));
  CHECK(contains(text, "|" + std::string(43, '*') + "\n"));
  CHECK(contains(text, "+" + std::string(44, '-') + "\n"));
  CHECK(lines.back() == "        pairs 0 to 129");
}

}  // namespace ropejit
