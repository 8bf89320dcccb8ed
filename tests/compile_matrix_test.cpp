#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ropejit/error.h"
#include "src/compiler.h"
#include "src/source.h"
#include "tests/cubin_facts.h"
#include "tests/kernel_matrix.h"

namespace ropejit {
namespace {

/// Nothing on a machine without NVRTC.
const std::optional<Compiler>& nvrtc() {
  static std::optional<Compiler> compiler;
  static const bool tried = [] {
    try {
      compiler.emplace("");
    } catch (const Error&) {
    }
    return true;
  }();
  (void)tried;
  return compiler;
}

bool no_nvrtc() { return !nvrtc().has_value(); }

const std::vector<std::string> archs = {"sm_80", "sm_90", "sm_100", "sm_120", "sm_75"};

/// All are compiled for the first four, which is where they are used; every eighth for the oldest.
bool is_compiled(std::size_t kernel, const std::string& arch) {
  return arch != "sm_75" || kernel % 8 == 0;
}

/// What is wrong with one kernel for one architecture; empty: nothing.
std::string problem_of(const MatrixKernel& kernel, const std::string& arch) {
  try {
    const Source source = render(kernel.spec, kernel.config);
    const std::vector<std::byte> cubin =
        nvrtc()->compile(source.text, source.name, arch, compile_options());
    if (has_variables(cubin)) return "variables in device memory, which take long to load";
    const std::optional<unsigned> stack = stack_bytes(cubin);
    if (stack == 0u) return {};
    return stack ? fmt::format("{} bytes of local memory", *stack) : "no frame size in the cubin";
  } catch (const std::exception& error) {
    return error.what();
  }
}

TEST_CASE("local memory is seen in a cubin, on every architecture" * doctest::skip(no_nvrtc())) {
  const std::string spilling = R"(
extern "C" __global__ void spilling(float* x, int n) {
  float a[64];
  for (int i = 0; i < 64; ++i) a[i] = x[i * n];
  for (int i = 0; i < n; ++i) a[(i * 7 + n) & 63] += a[(i * 5) & 63];
  for (int i = 0; i < 64; ++i) x[i] = a[i];
})";
  const std::string clean = R"(
extern "C" __global__ void clean(float* x) { x[threadIdx.x] *= 2; })";
  for (const std::string& arch : archs) {
    CAPTURE(arch);
    CHECK(stack_bytes(nvrtc()->compile(spilling, "spilling.cu", arch, {})).value_or(0) >= 256);
    CHECK(stack_bytes(nvrtc()->compile(clean, "clean.cu", arch, {})) == 0u);
  }
}

TEST_CASE("variables are seen in a cubin, on every architecture" * doctest::skip(no_nvrtc())) {
  const std::string kernel = R"(
extern "C" __global__ void add(float* x) { x[threadIdx.x] += kOne; })";
  for (const std::string& arch : archs) {
    CAPTURE(arch);
    CHECK(has_variables(nvrtc()->compile("constexpr int kOne = 1;" + kernel, "add.cu", arch, {})));
    CHECK_FALSE(has_variables(nvrtc()->compile("#define kOne 1" + kernel, "add.cu", arch, {})));
  }
}

TEST_CASE(
    "every kernel of the matrix compiles for every architecture without local memory and "
    "variables" *
    doctest::skip(no_nvrtc())) {
  const std::vector<MatrixKernel> kernels = matrix_kernels();
  const std::size_t count = kernels.size() * archs.size();
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::vector<std::string> failures;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      const MatrixKernel& kernel = kernels[i / archs.size()];
      const std::string& arch = archs[i % archs.size()];
      if (!is_compiled(i / archs.size(), arch)) continue;
      const std::string problem = problem_of(kernel, arch);
      if (problem.empty()) continue;
      const std::lock_guard lock(mutex);
      failures.push_back(fmt::format("{}, {} {}: {}", describe(kernel.spec),
                                     describe(kernel.config), arch, problem));
    }
  };
  {
    std::vector<std::jthread> pool;
    for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) pool.emplace_back(work);
    work();
  }
  for (const std::string& failure : failures) FAIL_CHECK(failure);
  CHECK(count >= 5 * 32);
}

}  // namespace
}  // namespace ropejit
