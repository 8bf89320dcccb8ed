#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "tests/device_case.h"
#include "tests/gpu_fixture.h"

namespace ropejit {
namespace {

Frequencies by_theta(int i) { return default_frequencies(128, 10000.0L * (i + 1)); }

/// A call whose result is to be by the frequencies of `theta`.
VerifyCase case_of(int theta, std::int64_t seq = 40) {
  VerifyCase test = llama_case(PositionMode::token_ids, 131071);
  test.frequencies = by_theta(theta);
  test.seq = seq;
  set_positions(test, 131071);
  return test;
}

Rope rope_of(const VerifyCase& test) { return gpu().runtime.rope(test.spec, test.frequencies, 0); }

}  // namespace

TEST_CASE("a graph rotates by the frequencies that were set last before its replay") {
  const Device& device = gpu().device();
  OnDevice call(device, case_of(0));
  const Rope rope = rope_of(call.test);
  const Stream stream = device.create_stream();
  const Graph graph = device.capture(stream.get(), [&] { rope.apply(call.args, stream.get()); });
  graph.launch(stream.get());
  CHECK(call.problem() == "");
  for (int theta = 1; theta < 10; ++theta) {
    CAPTURE(theta);
    call.mirror.upload(call.before.blocks);
    device.synchronize();
    rope.set_frequencies(by_theta(theta), stream.get());
    graph.launch(stream.get());
    CHECK(call.problem() != "");  // of the frequencies before
    call.test.frequencies = by_theta(theta);
    CHECK(call.problem() == "");
  }
}

TEST_CASE("calls that are under way keep their frequencies, those behind take the new ones") {
  const Device& device = gpu().device();
  for (const bool dependent : {false, true}) {
    CAPTURE(dependent);
    std::vector<std::unique_ptr<OnDevice>> calls;
    for (int theta = 0; theta < 12; ++theta) {
      calls.push_back(std::make_unique<OnDevice>(device, case_of(theta, 2000)));
      calls.back()->args.dependent_launch = dependent;
      calls.back()->args.early_positions = true;  // nothing writes them
    }
    const Rope rope = rope_of(calls[0]->test);
    const Stream stream = device.create_stream();
    device.synchronize();
    for (std::size_t i = 0; i < calls.size(); ++i) {
      Frequencies frequencies = calls[i]->test.frequencies;
      rope.set_frequencies(frequencies, stream.get());
      frequencies.turns.assign(frequencies.turns.size(), 77);
      for (int j = 0; j < 20; ++j) rope.apply(calls[i]->args, stream.get());
    }
    stream.synchronize();
    for (const auto& call : calls) CHECK(call->problem() == "");
  }
}

TEST_CASE("another stream takes the new frequencies once it is behind the call") {
  const Device& device = gpu().device();
  OnDevice before(device, case_of(0)), after(device, case_of(1));
  const Rope rope = rope_of(before.test);
  const Stream a = device.create_stream(), b = device.create_stream();
  rope.apply(before.args, a.get());
  a.synchronize();
  rope.set_frequencies(after.test.frequencies, b.get());
  b.synchronize();
  rope.apply(after.args, a.get());
  a.synchronize();
  CHECK(before.problem() == "");
  CHECK(after.problem() == "");
}

TEST_CASE("a stream in a capture is refused, another one is served, and the capture goes on") {
  const Device& device = gpu().device();
  OnDevice call(device, case_of(1));
  const Rope rope = rope_of(case_of(0));
  const Stream stream = device.create_stream(), other = device.create_stream();
  const Graph graph = device.capture(stream.get(), [&] {
    CHECK_THROWS_AS(rope.set_frequencies(by_theta(2), stream.get()), Error);
    rope.apply(call.args, stream.get());
    // Often enough for the first call's allocations and for waiting for earlier calls.
    for (int i = 0; i < 20; ++i) rope.set_frequencies(call.test.frequencies, other.get());
  });
  CHECK(graph.nodes() == 1);
  other.synchronize();
  graph.launch(stream.get());
  CHECK(call.problem() == "");
}

TEST_CASE("a thread that never made a context current may set frequencies, on the default stream") {
  const Device& device = gpu().device();
  OnDevice call(device, case_of(1));
  const Rope rope = rope_of(case_of(0));
  std::thread([&] {
    rope.set_frequencies(call.test.frequencies);
    rope.apply(call.args);
  }).join();
  CHECK(call.problem() == "");
}

}  // namespace ropejit
