#include "tools/workload_ring.h"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "src/launch.h"
#include "src/rounding.h"
#include "tests/refusal.h"
#include "tests/stub_fixture.h"

// The stub's device has host memory and an L2 of 50 MiB.
namespace ropejit {
namespace {

Workload small_workload() {
  Workload workload;
  workload.spec.head_dim = 64;
  workload.spec.q_heads = 3;
  workload.spec.kv_heads = 2;
  workload.frequencies = default_frequencies(64, 10000.0L);
  workload.tokens = 5;
  return workload;
}

/// 20 MiB of q and k: out of place a ring of 4.
Workload large_workload() {
  Workload workload = small_workload();
  workload.tokens = 32768;
  return workload;
}

bool accepted(const WorkloadRing& ring) {
  for (std::size_t set = 0; set < ring.sets(); ++set) {
    const RopeSpec& spec = ring.workload().spec;
    if (!aligned_to(spec, check_args(spec, ring.args(set)).bits, 16)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE_FIXTURE(StubFixture, "every kind of workload gives calls that are valid and aligned") {
  for (const PositionMode mode : {PositionMode::offset, PositionMode::sequence_offsets,
                                  PositionMode::token_ids, PositionMode::ragged}) {
    for (const AngleSource angles : {AngleSource::exact, AngleSource::table}) {
      for (const Strides strides : kAllStrides) {
        for (const bool in_place : {false, true}) {
          Workload workload = small_workload();
          workload.spec.positions = mode;
          workload.spec.angles = angles;
          workload.strides = strides;
          workload.in_place = in_place;
          const std::string description = describe(workload);
          CAPTURE(description);
          const WorkloadRing ring(device(), workload);
          CHECK(ring.sets() == 1);
          CHECK(accepted(ring));
          CHECK((ring.args(0).q_out == ring.args(0).q) == in_place);
          CHECK((ring.args(0).k_out == ring.args(0).k) == in_place);
          CHECK((ring.turns() == nullptr) == (angles == AngleSource::table));
        }
      }
    }
  }
}

TEST_CASE_FIXTURE(StubFixture, "the sets of a large workload's ring share no memory") {
  const WorkloadRing ring(device(), large_workload());
  CHECK(ring.sets() == 4);
  CHECK(accepted(ring));
  std::set<const void*> addresses;
  for (std::size_t set = 0; set < ring.sets(); ++set) {
    addresses.insert(ring.args(set).q.data);
    addresses.insert(ring.args(set).q_out.data);
    addresses.insert(ring.args(set).k.data);
    addresses.insert(ring.args(set).k_out.data);
  }
  CHECK(addresses.size() == 4 * ring.sets());
}

TEST_CASE_FIXTURE(StubFixture, "in place a set has half the bytes, so a ring has twice the sets") {
  Workload workload = large_workload();
  workload.in_place = true;
  const WorkloadRing ring(device(), workload);
  CHECK(ring.sets() == 8);
  CHECK(ring.copy_to(0) != ring.copy_from(0));
}

TEST_CASE_FIXTURE(StubFixture, "a copy moves as many bytes as the call, within the set") {
  for (const Strides strides : kAllStrides) {
    Workload workload = small_workload();
    workload.strides = strides;
    const WorkloadRing ring(device(), workload);
    CHECK(ring.copy_bytes() == 5 * 5 * 64 * 2);
    CHECK(2 * static_cast<std::int64_t>(ring.copy_bytes()) == bytes_moved(workload));
    CHECK(ring.copy_from(0) == ring.args(0).q.data);
    CHECK(ring.copy_to(0) == ring.args(0).q_out.data);
    std::memset(ring.copy_to(0), 0, ring.copy_bytes());  // for the address sanitizer
  }
}

TEST_CASE_FIXTURE(StubFixture, "strides are those that the workload names") {
  Workload workload = small_workload();
  CHECK(WorkloadRing(device(), workload).args(0).q.stride_seq == 3 * 64);
  workload.strides = Strides::padded;
  const Tensor padded = WorkloadRing(device(), workload).args(0).q;
  CHECK(padded.stride_seq == 4 * 64);
  CHECK(padded.stride_head == 64);
  workload.strides = Strides::bhsd;
  const Tensor bhsd = WorkloadRing(device(), workload).args(0).q;
  CHECK(bhsd.stride_seq == 64);
  CHECK(bhsd.stride_head == 5 * 64);
}

TEST_CASE_FIXTURE(StubFixture, "every buffer is full of random numbers, outputs of other ones") {
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    Workload workload = small_workload();
    workload.spec.dtype = dtype;
    workload.tokens = 1000;
    const WorkloadRing ring(device(), workload);
    const auto* in = static_cast<const std::byte*>(ring.args(0).q.data);
    const auto* out = static_cast<const std::byte*>(ring.args(0).q_out.data);
    const std::size_t size = size_of(dtype);
    const std::size_t count = 1000 * 5 * 64;
    std::size_t zeros = 0;
    std::size_t same = 0;
    double squares = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const double value = load_element(dtype, in + i * size);
      zeros += value == 0;
      same += value == load_element(dtype, out + i * size);
      squares += value * value;
    }
    CHECK(zeros < count / 1000);
    CHECK(same < count / 50);
    CHECK(squares / static_cast<double>(count) == doctest::Approx(1).epsilon(0.02));
  }
}

TEST_CASE_FIXTURE(StubFixture, "positions are on the device, as the spec's type") {
  Workload workload = small_workload();
  workload.spec.positions = PositionMode::token_ids;
  const WorkloadRing narrow(device(), workload);
  const auto* narrow_ids = static_cast<const std::int32_t*>(narrow.args(0).positions);
  workload.spec.index_type = IndexType::int64;
  const WorkloadRing wide(device(), workload);
  const auto* wide_ids = static_cast<const std::int64_t*>(wide.args(0).positions);
  const std::vector<std::int64_t> expected = positions_of(workload);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(narrow_ids[i] == expected[i]);
    CHECK(wide_ids[i] == expected[i]);
  }
}

TEST_CASE_FIXTURE(StubFixture, "in place no factor is applied again and again") {
  Workload workload = small_workload();
  workload.frequencies.attention_factor = 1.25f;
  CHECK(WorkloadRing(device(), workload).workload().frequencies.attention_factor == 1.25f);
  workload.in_place = true;
  CHECK(WorkloadRing(device(), workload).workload().frequencies.attention_factor == 1.0f);
}

TEST_CASE_FIXTURE(StubFixture, "a device without the memory says so, and nothing is left behind") {
  cuda.fail("cuMemAlloc_v2", 2);
  const std::string text = refusal([&] { WorkloadRing(device(), small_workload()); });
  CHECK(text.find("driver: cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY") == 0);
}

}  // namespace ropejit
