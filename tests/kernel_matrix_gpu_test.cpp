#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "ropejit/error.h"
#include "src/build.h"
#include "src/source.h"
#include "tests/device_case.h"
#include "tests/gpu_fixture.h"
#include "tests/kernel_matrix.h"
#include "tools/case_positions.h"
#include "tools/start_timing.h"
#include "tools/verify.h"
#include "tools/verify_check.h"

namespace ropejit {
namespace {

int threads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

void check_none(const std::vector<std::string>& failures) {
  for (const std::string& failure : failures) FAIL_CHECK(failure);
}

// First, while NVRTC is not loaded.
TEST_CASE("a warm start takes its kernels from disk and never opens NVRTC") {
  gpu();
  RopeSpec spec;
  spec.head_dim = 128;
  spec.q_heads = 32;
  spec.kv_heads = 8;
  const StartTiming timing = measure_start(spec, default_frequencies(128, 500000.0L), 0,
                                           RuntimeOptions::from_environment());
  CHECK(timing.cold.nvrtc_opened);
  CHECK(timing.cold.compiles > 0);
  CHECK_FALSE(timing.warm.nvrtc_opened);
  CHECK(timing.warm.disk_hits == timing.cold.compiles);
  MESSAGE(
      fmt::format("cold start {:.1f} ms, warm start {:.3f} ms", timing.cold_ms, timing.warm_ms));
}

TEST_CASE("every kernel of the matrix gives the exact result on the device") {
  check_none(failures_of(kernel_matrix(), gpu().executor, threads()));
}

TEST_CASE("no kernel of the matrix uses local memory") {
  Gpu& g = gpu();
  Counters counters;
  Builder builder({g.cache.path().string(), true, g.runtime.options().nvrtc_library, {}}, counters);
  int most_registers = 0;
  for (const auto& [spec, config] : matrix_kernels()) {
    const BuildRequest request{spec, config, g.device().info().arch()};
    const auto kernel =
        g.device().load(builder.build(request, Reuse::any_version).cubin, "ropejit_rope");
    CAPTURE(describe(spec));
    CAPTURE(describe(config));
    CHECK(kernel->local_bytes() == 0);
    most_registers = std::max(most_registers, kernel->registers());
  }
  MESSAGE("at most " << most_registers << " registers");
}

TEST_CASE("every case of `ropejit verify` passes on the device, in every position mode") {
  RopeSpec spec;
  spec.head_dim = 128;
  spec.q_heads = 32;
  spec.kv_heads = 8;
  for (const AngleSource angles : {AngleSource::exact, AngleSource::table}) {
    for (const PositionMode positions : {PositionMode::offset, PositionMode::sequence_offsets,
                                         PositionMode::token_ids, PositionMode::ragged}) {
      spec.angles = angles;
      spec.positions = positions;
      check_none(failures_of(cases_for(spec, default_frequencies(128, 500000.0L)), gpu().executor,
                             threads()));
    }
  }
}

TEST_CASE("at every promised position the error on the device is within its bound") {
  std::vector<std::string> failures;
  const std::string table = accuracy_table(gpu().executor, failures);
  check_none(failures);
  MESSAGE("worst error on " << gpu().device().info().name << "\n" << table);
}

TEST_CASE("float32 gives the same bits on the device and on the host") {
  Gpu& g = gpu();
  HostExecutor host;
  int compared = 0;
  for (const VerifyCase& test : kernel_matrix()) {
    if (test.spec.dtype != Dtype::float32 || test.spec.angles != AngleSource::exact) continue;
    CaseMemory on_host = make_memory(test), on_device = make_memory(test);
    host.execute(test, args_of(test, on_host), on_host.blocks);
    g.executor.execute(test, args_of(test, on_device), on_device.blocks);
    CAPTURE(describe(test.spec));
    CHECK(compare_outputs(test, on_host, test, on_device) == "");
    ++compared;
  }
  CHECK(compared > 40);
}

/// The same case at other positions, and with other bounds of the sequences.
VerifyCase moved(VerifyCase test) {
  for (std::int64_t& position : test.positions) position = position / 2 + 77;
  for (std::size_t i = 1; i + 1 < test.cu_seqlens.size(); ++i) {
    test.cu_seqlens[i] = std::min(test.cu_seqlens[i] + 3, test.cu_seqlens.back());
  }
  return test;
}

TEST_CASE("a graph that is replayed after the positions changed gives the new result") {
  Gpu& g = gpu();
  for (const PositionMode positions :
       {PositionMode::sequence_offsets, PositionMode::token_ids, PositionMode::ragged}) {
    CAPTURE(name(positions));
    OnDevice call(g.device(), llama_case(positions, 131071));
    const Rope rope = g.runtime.rope(call.test.spec, call.test.frequencies, 0);
    const Stream stream = g.device().create_stream();
    const Graph graph =
        g.device().capture(stream.get(), [&] { rope.apply(call.args, stream.get()); });
    CHECK(graph.nodes() == 1);
    CHECK(call.problem() != "");  // a capture computes nothing
    graph.launch(stream.get());
    CHECK(call.problem() == "");

    call.test = moved(call.test);
    call.before = make_memory(call.test);
    call.mirror.upload(call.before.blocks);
    graph.launch(stream.get());
    CHECK(call.problem() == "");
  }
}

/// What a sequence of calls leaves behind: each reads what the one before wrote, forth and back.
CaseMemory after_chain(const VerifyCase& test, bool dependent) {
  Gpu& g = gpu();
  OnDevice call(g.device(), test);
  RopeSpec backward = test.spec;
  backward.direction = Direction::inverse;
  const Rope forth = g.runtime.rope(test.spec, test.frequencies, 0, test.config);
  const Rope back = g.runtime.rope(backward, test.frequencies, 0, test.config);
  call.args.dependent_launch = dependent;
  call.args.early_positions = true;  // nothing writes them
  const Stream stream = g.device().create_stream();
  const auto enqueue = [&] {
    for (int i = 0; i < 25; ++i) {
      forth.apply(call.args, stream.get());
      if (i % 2 == 1) back.apply(call.args, stream.get());
    }
  };
  enqueue();
  const Graph graph = g.device().capture(stream.get(), enqueue);
  for (int i = 0; i < 4; ++i) graph.launch(stream.get());
  stream.synchronize();
  CaseMemory after = call.before;
  call.mirror.download(after.blocks);
  return after;
}

TEST_CASE("a chain of dependent launches gives the bits of one call after the other") {
  for (const LaunchConfig& config :
       {LaunchConfig{128, 4, Pairing::registers, 4}, LaunchConfig{128, 16, Pairing::exchange, 2},
        LaunchConfig{192, 8, Pairing::registers, 1, true}}) {
    for (const std::int64_t seq : {1, 40, 700}) {
      VerifyCase test = llama_case(PositionMode::token_ids, 131071);
      test.seq = seq;
      test.in_place = true;
      test.config = config;
      set_positions(test, 131071);
      CAPTURE(describe(config));
      CAPTURE(seq);
      CHECK(compare_outputs(test, after_chain(test, true), test, after_chain(test, false)) == "");
    }
  }
}

TEST_CASE("positions that the kernel ahead writes are read after it, unless the caller says else") {
  Gpu& g = gpu();
  OnDevice call(g.device(), llama_case(PositionMode::token_ids, 77));
  const Rope rope = g.runtime.rope(call.test.spec, call.test.frequencies, 0);
  const Stream stream = g.device().create_stream();
  // A rotation writes 32-bit ids: of a head of two float32 at position 0, which copies its bits.
  RopeSpec copy_spec;
  copy_spec.head_dim = copy_spec.rotary_dim = 2;
  copy_spec.dtype = Dtype::float32;
  copy_spec.q_heads = copy_spec.kv_heads = 1;
  const Rope copy = g.runtime.rope(copy_spec, {{0}, 1.0f}, 0);
  const auto ids = static_cast<std::int64_t>(call.test.positions.size());
  REQUIRE(ids % 2 == 0);
  std::vector<std::int32_t> moved_ids;
  for (const std::int64_t position : call.test.positions) {
    moved_ids.push_back(static_cast<std::int32_t>(position / 2 + 0x3f800000));  // normal floats
  }
  const DeviceBuffer source = g.device().allocate(moved_ids.size() * sizeof(std::int32_t));
  g.device().copy_to_device(source.data(), moved_ids.data(), source.size());
  RopeArgs writer;
  writer.seq = ids / 2;
  writer.q = dense_bshd(source.data(), writer.seq, 1, 2);
  writer.q_out = dense_bshd(const_cast<void*>(call.args.positions), writer.seq, 1, 2);
  writer.dependent_launch = call.args.dependent_launch = true;
  g.device().synchronize();
  copy.apply(writer, stream.get());
  rope.apply(call.args, stream.get());
  stream.synchronize();
  call.test.positions.assign(moved_ids.begin(), moved_ids.end());
  call.before = make_memory(call.test);  // the same input, beside the ids that were written
  CHECK(call.problem() == "");
}

TEST_CASE("calls on two streams at once do not disturb each other") {
  Gpu& g = gpu();
  OnDevice one(g.device(), llama_case(PositionMode::offset, 5));
  OnDevice other(g.device(), llama_case(PositionMode::token_ids, 1000000));
  const Rope first = g.runtime.rope(one.test.spec, one.test.frequencies, 0);
  const Rope second = g.runtime.rope(other.test.spec, other.test.frequencies, 0);
  const Stream a = g.device().create_stream(), b = g.device().create_stream();
  for (int i = 0; i < 200; ++i) {
    first.apply(one.args, a.get());
    second.apply(other.args, b.get());
  }
  a.synchronize();
  b.synchronize();
  CHECK(one.problem() == "");
  CHECK(other.problem() == "");
}

TEST_CASE("a thread that never made a context current may launch") {
  Gpu& g = gpu();
  OnDevice call(g.device(), llama_case(PositionMode::ragged, 2047));
  const Rope rope = g.runtime.rope(call.test.spec, call.test.frequencies, 0);
  std::thread([&] { rope.apply(call.args); }).join();
  CHECK(call.problem() == "");
}

TEST_CASE("a call that breaks the promise of alignment is counted, and right") {
  Gpu& g = gpu();
  VerifyCase test = llama_case(PositionMode::offset, 3);
  const std::uint64_t before = g.runtime.stats().unaligned_calls;
  CHECK(run_case(test, g.executor).message == "");
  CHECK(g.runtime.stats().unaligned_calls == before);
  test.base_offset = 1;
  CHECK(run_case(test, g.executor).message == "");
  CHECK(g.runtime.stats().unaligned_calls == before + 1);
}

}  // namespace
}  // namespace ropejit
