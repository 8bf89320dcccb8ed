#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "ropejit/reference.h"
#include "src/rope.h"
#include "tests/runtime_fixture.h"

namespace ropejit {
namespace {

constexpr std::size_t kPairs = 32;
constexpr std::size_t kBytes = kPairs * sizeof(std::uint64_t);
using Turns = std::array<std::uint64_t, kPairs>;

/// Frequencies whose values are told apart by their lowest bits, other sets by `set`.
Frequencies numbered(std::uint64_t set) {
  Frequencies frequencies;
  for (std::uint64_t i = 0; i < kPairs; ++i) frequencies.turns.push_back(set << 32 | i);
  return frequencies;
}

/// A Rope on the stub, whose kernels are in the cache folder.
struct Fixture : RuntimeFixture {
  Fixture() { cuda.params_bytes = sizeof(kernel::RopeParams); }

  RopeArgs args() const { return one_token(reinterpret_cast<void*>(0x100000)); }
  /// Where the kernel of a launch finds its frequencies.
  const void* turns_at(std::size_t launch) const {
    kernel::RopeParams params;
    std::memcpy(&params, cuda.launches.at(launch).params.data(), sizeof params);
    return params.turns;
  }
  static bool holds(const void* at, const Frequencies& frequencies) {
    return std::memcmp(at, frequencies.turns.data(), kBytes) == 0;
  }

  Runtime runtime{options};
  Rope rope = [this] {
    put_entries(folder, spec, loadable());
    return resolve(runtime);
  }();
};

}  // namespace

TEST_CASE("new frequencies take the place of the old ones by one copy on the call's stream") {
  Fixture f;
  const Stream stream = f.device()->create_stream();
  f.rope.apply(f.args(), stream.get());
  const void* turns = f.turns_at(0);
  CHECK(f.holds(turns, frequencies_of(f.spec)));
  const int allocations = f.cuda.calls["cuMemAlloc_v2"], loads = f.cuda.calls["cuLibraryLoadData"];

  f.rope.set_frequencies(numbered(1), stream.get());
  CHECK(f.cuda.copies == std::vector<StubCopy>{{turns, kBytes, stream.get(), true}});
  CHECK(f.holds(turns, numbered(1)));
  f.rope.apply(f.args(), stream.get());
  CHECK(f.turns_at(1) == turns);
  CHECK(text_of(f.runtime.stats()) == "disk_hits " + std::to_string(f.kernels));
  CHECK(f.cuda.calls["cuMemAlloc_v2"] == allocations);
  CHECK(f.cuda.calls["cuLibraryLoadData"] == loads);
  CHECK(f.cuda.calls["cuMemHostAlloc"] == 1);
}

TEST_CASE("without a stream the copy goes to the default stream, and all copies of a Rope see it") {
  Fixture f;
  const Rope copy = f.rope;
  copy.set_frequencies(numbered(1));
  REQUIRE(f.cuda.copies.size() == 1);
  CHECK(f.cuda.copies[0].stream == nullptr);
  f.rope.apply(f.args());
  CHECK(f.holds(f.turns_at(0), numbered(1)));
}

TEST_CASE("work between two calls sees what the first one set, whatever became of its argument") {
  constexpr std::size_t kCalls = 3 * Staging::kSlots;
  Fixture f;
  f.rope.apply(f.args());
  const auto device = f.device();
  const DeviceBuffer seen = device->allocate((kCalls + 1) * kBytes);
  const Stream stream = device->create_stream();
  std::byte* place = static_cast<std::byte*>(seen.data());
  const auto read_turns = [&] {
    device->copy_async(place, f.turns_at(0), kBytes, stream.get());
    place += kBytes;
  };
  f.cuda.lazy = true;
  read_turns();
  Frequencies frequencies;
  for (std::size_t call = 1; call <= kCalls; ++call) {
    frequencies = numbered(call);
    f.rope.set_frequencies(frequencies, stream.get());
    std::fill(frequencies.turns.begin(), frequencies.turns.end(), 77);
    read_turns();
  }
  stream.synchronize();
  const auto* sets = static_cast<const Turns*>(seen.data());
  CHECK(f.holds(&sets[0], frequencies_of(f.spec)));
  for (std::size_t call = 1; call <= kCalls; ++call) {
    CAPTURE(call);
    CHECK(f.holds(&sets[call], numbered(call)));
  }
}

TEST_CASE("the device is waited for only when as many calls as there are slots have still to run") {
  Fixture f;
  f.cuda.lazy = true;
  const int waits = f.cuda.calls["cuCtxSynchronize"];
  for (std::size_t call = 0; call < Staging::kSlots; ++call) f.rope.set_frequencies(numbered(call));
  CHECK(f.cuda.copies.empty());
  f.rope.set_frequencies(numbered(9));
  CHECK(f.cuda.copies.size() == 1);
  CHECK(f.cuda.calls["cuStreamSynchronize"] == 0);
  CHECK(f.cuda.calls["cuCtxSynchronize"] == waits);
  CHECK(f.cuda.calls["cuMemHostAlloc"] == 1);
  f.device()->synchronize();
}

TEST_CASE("a graph that was captured before reads the place that holds the new frequencies") {
  Fixture f;
  const auto device = f.device();
  const Stream stream = device->create_stream();
  const Graph graph = device->capture(stream.get(), [&] { f.rope.apply(f.args(), stream.get()); });
  f.rope.set_frequencies(numbered(1), stream.get());
  graph.launch(stream.get());
  CHECK(f.holds(f.turns_at(0), numbered(1)));
}

TEST_CASE("a stream in a capture is refused, and the capture goes on") {
  Fixture f;
  const auto device = f.device();
  const Stream stream = device->create_stream(), other = device->create_stream();
  const Graph graph = device->capture(stream.get(), [&] {
    CHECK(refusal([&] {
            f.rope.set_frequencies(numbered(1), stream.get());
          }).starts_with("invalid_argument: stream = 0x"));
    f.rope.apply(f.args(), stream.get());
    CHECK(f.cuda.calls["cuMemHostAlloc"] == 0);
    // Even with what only the first call does, and with waiting for a slot.
    for (std::size_t call = 0; call < 2 * Staging::kSlots; ++call) {
      f.rope.set_frequencies(numbered(2), other.get());
    }
  });
  CHECK(graph.nodes() == 1);
  graph.launch(stream.get());
  CHECK(f.holds(f.turns_at(0), numbered(2)));
}

TEST_CASE("frequencies that a Rope cannot take are refused before anything is touched") {
  Fixture f;
  RopeSpec with_table = f.spec;
  with_table.angles = AngleSource::table;
  put_entries(f.folder, with_table, loadable());
  const Rope table = f.runtime.rope(with_table, {{}, 1.0f});
  f.rope.apply(f.args());
  const std::map<std::string, int> calls = f.cuda.calls;
  const auto refused = [](const Rope& rope, const Frequencies& frequencies) {
    return refusal([&] { rope.set_frequencies(frequencies); });
  };
  Frequencies bad = numbered(1);
  bad.turns.pop_back();
  CHECK(refused(f.rope, bad) ==
        "invalid_argument: frequencies.turns has 31 values: must have rotary_dim / 2 = 32");
  CHECK(refused(f.rope, {}).starts_with("invalid_argument: frequencies.turns has 0 values"));
  bad = numbered(1);
  bad.attention_factor = std::numeric_limits<float>::quiet_NaN();
  CHECK(refused(f.rope, bad).starts_with("invalid_argument: frequencies.attention_factor = nan"));
  bad.attention_factor = 1.25f;
  CHECK(refused(f.rope, bad)
            .starts_with("invalid_argument: frequencies.attention_factor = 1.25: must stay 1; it "
                         "is a parameter"));
  CHECK(refused(table, numbered(1)).starts_with("invalid_argument: angles = table: must be exact"));
  CHECK(f.cuda.calls == calls);
  CHECK(f.holds(f.turns_at(0), frequencies_of(f.spec)));
}

TEST_CASE("an attention factor that stays is accepted, whatever it is") {
  Fixture f;
  Frequencies frequencies = numbered(1);
  frequencies.attention_factor = 1.25f;
  const Rope rope = f.runtime.rope(f.spec, frequencies);
  frequencies = numbered(2);
  frequencies.attention_factor = 1.25f;
  rope.set_frequencies(frequencies);
  rope.apply(f.args());
  CHECK(f.holds(f.turns_at(0), numbered(2)));
}

TEST_CASE("a call of the driver that fails is an error that leaves the old frequencies") {
  Fixture f;
  f.rope.apply(f.args());
  constexpr int kOutOfMemory = 2;
  for (const std::string call :
       {"cuStreamIsCapturing", "cuEventCreate", "cuMemHostAlloc", "cuMemcpyAsync"}) {
    CAPTURE(call);
    f.cuda.fail(call, kOutOfMemory, 1);
    CHECK(refusal([&] { f.rope.set_frequencies(numbered(1)); }).starts_with("driver: " + call));
    CHECK(f.holds(f.turns_at(0), frequencies_of(f.spec)));
  }
  f.rope.set_frequencies(numbered(1));
  CHECK(f.holds(f.turns_at(0), numbered(1)));
}

TEST_CASE("threads may set frequencies of one Rope at once: every copy is of one set") {
  constexpr int kThreads = 4, kCalls = 200;
  Fixture f;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, set = static_cast<std::uint64_t>(thread)] {
        for (int call = 0; call < kCalls; ++call) f.rope.set_frequencies(numbered(set));
      });
    }
  }
  CHECK(f.cuda.copies.size() == kThreads * kCalls);
  CHECK(f.cuda.calls["cuMemHostAlloc"] == 1);
  f.rope.apply(f.args());
  bool whole = false;
  for (std::uint64_t set = 0; set < kThreads; ++set) {
    whole = whole || f.holds(f.turns_at(0), numbered(set));
  }
  CHECK(whole);
}

namespace {

/// One token of two float32 heads at a position at which all frequencies below tell.
struct HostCall {
  HostCall() {
    spec.dtype = Dtype::float32;
    args = one_token(in.data());
    args.q_out.data = out.data();
    args.offset = 1000003;
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = 1.0f + static_cast<float>(i) / 64;
  }
  HostCall(const HostCall&) = delete;
  HostCall& operator=(const HostCall&) = delete;

  std::vector<float> reference(const Frequencies& frequencies) {
    apply_reference(spec, frequencies, args);
    return out;
  }
  std::vector<float> apply(const Rope& rope) {
    rope.apply(args);
    return out;
  }

  RopeSpec spec = small_spec();
  RopeArgs args;
  std::vector<float> in = std::vector<float>(128), out = std::vector<float>(128);
};

Rope host_rope(const Frequencies& frequencies) {
  Runtime runtime{RuntimeOptions{}};
  return runtime.rope(HostCall().spec, frequencies, kCpuDevice);
}

}  // namespace

TEST_CASE("on the CPU a Rope and its copies rotate by the new frequencies from then on") {
  const Frequencies old = default_frequencies(64, 10000), stretched = default_frequencies(64, 5e5L);
  HostCall call;
  const Rope rope = host_rope(old), copy = rope;
  CHECK(call.apply(rope) == call.reference(old));
  Frequencies passed = stretched;
  rope.set_frequencies(passed);
  std::fill(passed.turns.begin(), passed.turns.end(), 77);
  CHECK(call.apply(rope) == call.reference(stretched));
  CHECK(call.apply(copy) == call.reference(stretched));
  CHECK(call.reference(old) != call.reference(stretched));
}

TEST_CASE("on the CPU the same frequencies are refused as on a device") {
  const Frequencies old = default_frequencies(64, 10000);
  HostCall call;
  const Rope rope = host_rope(old);
  Frequencies bad = numbered(1);
  bad.turns.push_back(0);
  CHECK(contains(refusal([&] { rope.set_frequencies(bad); }), "frequencies.turns has 33 values"));
  bad = numbered(1);
  bad.attention_factor = 2;
  CHECK(contains(refusal([&] { rope.set_frequencies(bad); }), "attention_factor = 2: must stay 1"));
  CHECK(call.apply(rope) == call.reference(old));
}

TEST_CASE("on the CPU every call takes one set of frequencies, while other threads set others") {
  const Frequencies old = default_frequencies(64, 10000), stretched = default_frequencies(64, 5e5L);
  const Rope rope = host_rope(old);
  HostCall expected;
  const std::vector<float> by_old = expected.reference(old);
  const std::vector<float> by_stretched = expected.reference(stretched);
  std::array<int, 2> mixed{};
  {
    std::vector<std::jthread> threads;
    threads.emplace_back([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        rope.set_frequencies(stretched);
        rope.set_frequencies(old);
      }
    });
    std::vector<std::jthread> callers;
    for (int& count : mixed) {
      callers.emplace_back([&] {
        HostCall call;
        for (int i = 0; i < 3000; ++i) {
          const std::vector<float> result = call.apply(rope);
          if (result != by_old && result != by_stretched) ++count;
        }
      });
    }
  }
  CHECK(mixed == std::array<int, 2>{});
}

}  // namespace ropejit
