#include "tools/calls.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "src/compiler.h"
#include "src/counters.h"
#include "src/launch.h"
#include "tests/runtime_fixture.h"

// What the calls ask of the device, on the stub. calls_gpu_test.cpp looks at what they do.
namespace ropejit {
namespace {

struct CallsFixture : RuntimeFixture {
  CallsFixture() { cuda.params_bytes = sizeof(kernel::RopeParams); }

  /// The launches of two calls: on the first set of the ring and on the last.
  std::vector<StubLaunch> launches_of(const Call& call, const WorkloadRing& ring) {
    cuda.launches.clear();
    call(0, nullptr);
    call(ring.sets() - 1, nullptr);
    return cuda.launches;
  }

  Counters counters;
  Builder builder{{.cache_dir = folder.string(), .nvrtc_library = {}, .log = {}}, counters};
  LaunchConfig config{.block_threads = 64};
};

Workload workload_of(const RopeSpec& spec, std::int64_t tokens) {
  Workload workload;
  workload.spec = spec;
  workload.frequencies = frequencies_of(spec);
  workload.tokens = tokens;
  return workload;
}

constexpr std::int64_t kManyTokens = 40000;  // 30 MiB: a ring of several sets

kernel::RopeParams params_of(const StubLaunch& launch) {
  kernel::RopeParams params;
  std::memcpy(&params, launch.params.data(), sizeof params);
  return params;
}

/// All but where the frequencies are: each copy of them has an address of its own.
bool same_launch(const StubLaunch& a, const StubLaunch& b) {
  kernel::RopeParams left = params_of(a);
  kernel::RopeParams right = params_of(b);
  left.turns = right.turns = nullptr;
  return a.kernel == b.kernel && a.grid[0] == b.grid[0] && a.block[0] == b.block[0] &&
         std::memcmp(&left, &right, sizeof left) == 0;
}

}  // namespace

TEST_CASE_FIXTURE(CallsFixture, "the twin is launched as Rope::apply launches its kernel" *
                                    doctest::skip(no_nvrtc())) {
  for (const AngleSource angles : {AngleSource::exact, AngleSource::table}) {
    spec.angles = angles;
    const WorkloadRing ring(device(), workload_of(spec, kManyTokens));
    REQUIRE(ring.sets() > 1);
    Runtime runtime(options);
    const Rope rope = runtime.rope(spec, frequencies_of(spec), 0, config);
    const auto applied = launches_of(apply_call(rope, ring), ring);
    const auto twins = launches_of(kernel_call(builder, ring, config, Body::copy), ring);
    REQUIRE(applied.size() == 2);
    REQUIRE(twins.size() == 2);
    CHECK(same_launch(applied[0], twins[0]));
    CHECK(same_launch(applied[1], twins[1]));
    CHECK(applied[0].block[0] == 64);
    CHECK(params_of(applied[0]).q.in == ring.args(0).q.data);
    CHECK(params_of(applied[1]).q.in == ring.args(ring.sets() - 1).q.data);
    CHECK((params_of(twins[0]).turns == nullptr) == (angles == AngleSource::table));
  }
}

TEST_CASE_FIXTURE(CallsFixture, "the twin is another kernel than the one that rotates" *
                                    doctest::skip(no_nvrtc())) {
  const WorkloadRing ring(device(), workload_of(spec, 1));
  kernel_call(builder, ring, config, Body::copy);
  kernel_call(builder, ring, config, Body::rotate);
  CHECK(counters.compiles == 2);
  kernel_call(builder, ring, config, Body::copy);
  CHECK(counters.compiles == 2);
  CHECK(counters.disk_hits == 1);
}

TEST_CASE_FIXTURE(CallsFixture,
                  "only links of a chain are launched as dependent" * doctest::skip(no_nvrtc())) {
  spec.positions = PositionMode::token_ids;
  const WorkloadRing ring(device(), workload_of(spec, 4));
  Runtime runtime(options);
  const Rope rope = runtime.rope(spec, frequencies_of(spec));
  for (const StubLaunch& launch : launches_of(apply_call(rope, ring), ring)) {
    CHECK_FALSE(launch.dependent);
    CHECK(params_of(launch).early_positions == 0);
  }
  for (const StubLaunch& launch : launches_of(chained_call(rope, ring), ring)) {
    CHECK(launch.dependent);
    CHECK(params_of(launch).early_positions == 1);
  }
}

TEST_CASE_FIXTURE(CallsFixture, "a memcpy copies what the call reads" * doctest::skip(no_nvrtc())) {
  const WorkloadRing ring(device(), workload_of(spec, 7));
  const CopyKernel kernel(Compiler(""), ring.device());
  CHECK(std::memcmp(ring.copy_to(0), ring.copy_from(0), ring.copy_bytes()) != 0);
  copy_call(CopyKind::memcpy, kernel, ring)(0, nullptr);
  CHECK(std::memcmp(ring.copy_to(0), ring.copy_from(0), ring.copy_bytes()) == 0);
  CHECK(cuda.launches.empty());
}

TEST_CASE_FIXTURE(CallsFixture,
                  "a copy kernel has a thread for every 16 bytes" * doctest::skip(no_nvrtc())) {
  const WorkloadRing ring(device(), workload_of(spec, 1001));  // 24 vectors a token
  const CopyKernel kernel(Compiler(""), ring.device());
  cuda.params_bytes = 0;
  copy_call(CopyKind::kernel_256, kernel, ring)(0, nullptr);
  copy_call(CopyKind::kernel_320, kernel, ring)(0, nullptr);
  REQUIRE(cuda.launches.size() == 2);
  CHECK(cuda.launches[0].grid[0] == (1001 * 24 + 255) / 256);
  CHECK(cuda.launches[0].block[0] == 256);
  CHECK(cuda.launches[1].grid[0] == (1001 * 24 + 319) / 320);
  CHECK(cuda.launches[1].block[0] == 320);
}

TEST_CASE_FIXTURE(CallsFixture,
                  "the fastest copy is found by trying each" * doctest::skip(no_nvrtc())) {
  // On the stub every operation takes the same time: the first of equals is taken.
  const WorkloadRing ring(device(), workload_of(spec, 1));
  cuda.params_bytes = 0;
  CHECK(fastest_copy(CopyKernel(Compiler(""), ring.device()), ring) == CopyKind::memcpy);
  CHECK(cuda.launches.size() > 2 * 200);
}

}  // namespace ropejit
