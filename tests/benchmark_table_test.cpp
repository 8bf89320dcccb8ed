#include "tools/benchmark_table.h"

#include <doctest/doctest.h>

#include <string>

#include "tools/version.h"

namespace ropejit {
namespace {

BenchmarkCell small_cell() {
  BenchmarkCell cell;
  cell.workload.tokens = 300;
  cell.bytes = 4000000;
  cell.gpu = {2.0, 1.96, 2.04, 7};
  cell.copy.us = 1.9;
  cell.twin.us = 1.95;
  return cell;
}

}  // namespace

TEST_CASE("a row's values stand below the words of the head") {
  BenchmarkCell cell = small_cell();
  CHECK(cell_table_head() ==
        "   tokens  place  strides        us   +-%   GB/s  of copy  of twin  chain us  config");
  CHECK(cell_row(cell) ==
        "      300  out    bshd         2.00   2.0   2000    0.950    0.975         -  "
        "128 threads, 16 bytes, registers, 1 head");
  cell.chain = Timing{0.7, 0.7, 0.7, 7};
  cell.workload.in_place = true;
  cell.workload.strides = Strides::padded;
  CHECK(cell_row(cell) ==
        "      300  in     padded       2.00   2.0   2000    0.950    0.975      0.70  "
        "128 threads, 16 bytes, registers, 1 head");
}

TEST_CASE("the first line says what was measured on") {
  BenchmarkReport report;
  report.device = {1, "A GPU", 9, 0, 132, 50 << 20, std::int64_t{80} << 30};
  report.clocks = {1980000, 0};
  report.cuda_version = 12080;
  report.nvrtc = "NVRTC 12.8";
  const std::string rest = "; CUDA 12.8, NVRTC 12.8, ropejit " + std::string(version()) + " (" +
                           std::string(commit()) + ")";
  CHECK(device_line(report) ==
        "device 1: A GPU, sm_90, 132 multiprocessors, 50.0 MiB of L2, up to 1980 MHz" + rest);
  report.clocks.core = 0;
  CHECK(device_line(report) ==
        "device 1: A GPU, sm_90, 132 multiprocessors, 50.0 MiB of L2" + rest);
}

TEST_CASE("host time and starts are sentences") {
  CHECK(host_line({{3400, 3390, 3410}, {3350, 3340, 3360}, {50, 48, 52}, 10000}) ==
        "host time per call: apply 3400 ns, a raw launch 3350 ns; difference 50 ns (48 to 52)");
  StartTiming start{80.5, 0.75, 15, {}, {}};
  start.cold.compiles = 3;
  CHECK(start_lines(start) ==
        "cold start    80.50 ms  (empty cache: NVRTC opened, 3 kernels compiled)\n"
        "disk start     0.75 ms  (from the cache folder, NVRTC not opened; median of 15)");
}

}  // namespace ropejit
