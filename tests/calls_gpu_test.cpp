// What the measured calls do, and what measuring them gives, on the machine's first GPU.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "src/counters.h"
#include "tests/gpu_fixture.h"
#include "tools/calls.h"
#include "tools/host_timing.h"
#include "tools/measure.h"

namespace ropejit {
namespace {

constexpr unsigned char kPoison = 0xa5;

std::shared_ptr<const Device> device() { return gpu().device().shared_from_this(); }

Builder& builder() {
  static Counters counters;
  static Builder made({.cache_dir = gpu().cache.path().string(), .nvrtc_library = {}, .log = {}},
                      counters);
  return made;
}

Workload llama(std::int64_t tokens) {
  Workload workload;
  workload.spec.head_dim = 128;
  workload.spec.q_heads = 32;
  workload.spec.kv_heads = 8;
  workload.frequencies = default_frequencies(128, 500000.0L);
  workload.tokens = tokens;
  return workload;
}

/// Workloads of every dtype, layout, stride and position mode, with and without a part that passes
/// through, in small.
std::vector<Workload> small_workloads() {
  std::vector<Workload> workloads;
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
      for (const Strides strides : kAllStrides) {
        Workload workload = llama(33);
        workload.spec.dtype = dtype;
        workload.spec.layout = layout;
        workload.spec.q_heads = 5;
        workload.spec.kv_heads = 3;
        workload.strides = strides;
        workloads.push_back(workload);
        workload.spec.rotary_dim = 32;
        workload.frequencies = default_frequencies(32, 10000.0L);
        workload.spec.positions = PositionMode::token_ids;
        workload.spec.angles = AngleSource::table;
        workloads.push_back(workload);
        workload.spec.positions = PositionMode::ragged;
        workloads.push_back(workload);
      }
    }
  }
  return workloads;
}

/// The elements of one of a ring's tensors, row by row, without what lies between the rows.
std::vector<std::byte> read(const WorkloadRing& ring, const Tensor& tensor, int heads) {
  const RopeSpec& spec = ring.workload().spec;
  const std::size_t size = size_of(spec.dtype);
  const std::size_t row = static_cast<std::size_t>(spec.head_dim) * size;
  std::vector<std::byte> elements;
  for (std::int64_t token = 0; token < ring.workload().tokens; ++token) {
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::int64_t first = token * tensor.stride_seq + head * tensor.stride_head;
      elements.resize(elements.size() + row);
      gpu().device().copy_to_host(
          elements.data() + elements.size() - row,
          static_cast<const std::byte*>(tensor.data) + first * static_cast<std::int64_t>(size),
          row);
    }
  }
  return elements;
}

/// q and k, or what became of them.
std::vector<std::byte> inputs(const WorkloadRing& ring) {
  std::vector<std::byte> all = read(ring, ring.args(0).q, ring.workload().spec.q_heads);
  const std::vector<std::byte> k = read(ring, ring.args(0).k, ring.workload().spec.kv_heads);
  all.insert(all.end(), k.begin(), k.end());
  return all;
}
std::vector<std::byte> outputs(const WorkloadRing& ring) {
  std::vector<std::byte> all = read(ring, ring.args(0).q_out, ring.workload().spec.q_heads);
  const std::vector<std::byte> k = read(ring, ring.args(0).k_out, ring.workload().spec.kv_heads);
  all.insert(all.end(), k.begin(), k.end());
  return all;
}

/// Poisons the outputs of the first set and carries out a call on it.
void run(const WorkloadRing& ring, const Call& call) {
  const Stream stream = gpu().device().create_stream();
  gpu().device().fill_async(ring.copy_to(0), kPoison, ring.copy_bytes(), stream.get());
  call(0, stream.get());
  stream.synchronize();
}

bool is_sound(const Timing& timing) {
  return timing.us > 0.1 && timing.low <= timing.us && timing.us <= timing.high &&
         timing.rounds >= MeasureOptions{}.least_rounds;
}

}  // namespace

TEST_CASE("the rotation-free twin copies bit for bit") {
  gpu();
  for (const Workload& workload : small_workloads()) {
    const std::string description = describe(workload);
    CAPTURE(description);
    const WorkloadRing ring(device(), workload);
    const std::vector<std::byte> before = inputs(ring);
    for (const LaunchConfig& config :
         {LaunchConfig{}, LaunchConfig{.pairing = Pairing::exchange, .heads_per_thread = 2}}) {
      run(ring, kernel_call(builder(), ring, config, Body::copy));
      CHECK(inputs(ring) == before);
      CHECK(outputs(ring) == before);
    }
  }
}

TEST_CASE("every way to copy copies bit for bit") {
  gpu();
  Workload workload = llama(7);
  workload.spec.head_dim = 92;
  workload.spec.q_heads = 3;
  workload.spec.kv_heads = 1;
  workload.frequencies = default_frequencies(92, 10000.0L);
  const WorkloadRing ring(device(), workload);
  const CopyKernel kernel(builder().compiler(), gpu().device());
  for (const CopyKind kind : kAllCopyKinds) {
    CAPTURE(name(kind));
    run(ring, copy_call(kind, kernel, ring));
    std::vector<std::byte> from(ring.copy_bytes());
    std::vector<std::byte> to(ring.copy_bytes());
    gpu().device().copy_to_host(from.data(), ring.copy_from(0), from.size());
    gpu().device().copy_to_host(to.data(), ring.copy_to(0), to.size());
    CHECK(from == to);
  }
}

TEST_CASE("apply, its kernel launched directly and a chain's link give the same bits") {
  gpu();
  for (const Workload& workload : small_workloads()) {
    const std::string description = describe(workload);
    CAPTURE(description);
    const WorkloadRing ring(device(), workload);
    const LaunchConfig config{.block_threads = 64, .access_bytes = 8};
    const Rope rope = gpu().runtime.rope(workload.spec, workload.frequencies, 0, config);
    run(ring, apply_call(rope, ring));
    const std::vector<std::byte> applied = outputs(ring);
    CHECK(applied != inputs(ring));
    run(ring, kernel_call(builder(), ring, config, Body::rotate));
    CHECK(outputs(ring) == applied);
    run(ring, chained_call(rope, ring));
    CHECK(outputs(ring) == applied);
  }
}

TEST_CASE("every call has a time, at decode and at prefill, in place or not") {
  gpu();
  const CopyKernel kernel(builder().compiler(), gpu().device());
  for (const std::int64_t tokens : {1, 4096}) {
    for (const bool in_place : {false, true}) {
      Workload workload = llama(tokens);
      workload.in_place = in_place;
      const std::string description = describe(workload);
      CAPTURE(description);
      const WorkloadRing ring(device(), workload);
      const Rope rope = gpu().runtime.rope(workload.spec, workload.frequencies);
      std::vector<Call> calls = {apply_call(rope, ring), chained_call(rope, ring),
                                 kernel_call(builder(), ring, {}, Body::copy)};
      for (const CopyKind kind : kAllCopyKinds) calls.push_back(copy_call(kind, kernel, ring));
      const std::vector<Timing> timings = measure_interleaved(gpu().device(), calls, ring.sets());
      for (const Timing& timing : timings) {
        MESSAGE(timing.us, " us, ", timing.low, " to ", timing.high);
        CHECK(is_sound(timing));
      }
      MESSAGE("fastest copy: ", name(fastest_copy(kernel, ring)));
    }
  }
}

TEST_CASE("twice the work takes twice the time") {
  gpu();
  const WorkloadRing ring(device(), llama(8192));
  const Call once = kernel_call(builder(), ring, {}, Body::rotate);
  const Call twice = [&](std::size_t set, CUstream_st* stream) {
    once(set, stream);
    once((set + 1) % ring.sets(), stream);
  };
  const std::vector<Call> calls = {once, twice, once};
  const std::vector<Timing> timings = measure_interleaved(gpu().device(), calls, ring.sets());
  CHECK(timings[1].us / timings[0].us == doctest::Approx(2).epsilon(0.05));
  CHECK(timings[2].us / timings[0].us == doctest::Approx(1).epsilon(0.03));
}

TEST_CASE("a warm apply costs at most 100 ns more than a raw launch") {
  gpu();
  const Workload workload = llama(1);
  const WorkloadRing ring(device(), workload);
  const LaunchConfig config;
  const Rope rope = gpu().runtime.rope(workload.spec, workload.frequencies, 0, config);
  const PairedTiming timing = measure_host(builder(), rope, ring, config);
  MESSAGE("apply ", timing.first_ns.median, " ns, raw ", timing.second_ns.median,
          " ns, difference ", timing.difference_ns.median, " ns (", timing.difference_ns.low,
          " to ", timing.difference_ns.high, ")");
  CHECK(timing.repetitions == 10000);
  CHECK(timing.difference_ns.median <= 100);
}

}  // namespace ropejit
