#include "tools/measure.h"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/stub_fixture.h"

namespace ropejit {
namespace {

/// A clock that samples move forward by the time that they claim to take.
struct FakeClock {
  double now_ms = 1000;
  std::string order;  ///< of the samples, by letter

  Clock clock() {
    return [this] { return now_ms; };
  }
  Sample sample(char letter, double us) {
    return [this, letter, us] {
      order += letter;
      now_ms += us / 1000;
      return us;
    };
  }
};

MeasureOptions rounds(int least, int most, double budget_ms) {
  return {.budget_ms = budget_ms, .least_rounds = least, .most_rounds = most, .replay_us = 500};
}

constexpr double kStubCallUs = 1000.0 * kStubMillisecondsPerOperation;

}  // namespace

TEST_CASE("each round takes every sample once and begins with another one") {
  FakeClock fake;
  const std::vector<Sample> samples = {fake.sample('a', 1), fake.sample('b', 2),
                                       fake.sample('c', 3)};
  const std::vector<Timing> timings = sample_interleaved(samples, rounds(4, 4, 0), fake.clock());
  CHECK(fake.order == "abcbcacababc");
  REQUIRE(timings.size() == 3);
  CHECK(timings[0].us == 1);
  CHECK(timings[1].us == 2);
  CHECK(timings[2].us == 3);
  for (const Timing& timing : timings) CHECK(timing.rounds == 4);
}

TEST_CASE("what drifts, drifts for all samples alike") {
  double speed = 1;
  const auto drifting = [&speed](double us) {
    return Sample([&speed, us] {
      speed *= 1.01;
      return us * speed;
    });
  };
  const std::vector<Sample> samples = {drifting(100), drifting(200)};
  const std::vector<Timing> timings =
      sample_interleaved(samples, rounds(40, 40, 0), [] { return 0.0; });
  CHECK(timings[1].us / timings[0].us == doctest::Approx(2).epsilon(0.015));
  CHECK(timings[0].high > 1.1 * timings[0].low);  // the spread shows the drift
}

TEST_CASE("rounds go on until the budget is spent, within their bounds") {
  const auto rounds_taken = [](const MeasureOptions& options) {
    FakeClock fake;
    const std::vector<Sample> samples = {fake.sample('a', 600), fake.sample('b', 400)};
    return sample_interleaved(samples, options, fake.clock()).front().rounds;
  };
  CHECK(rounds_taken(rounds(2, 1000, 50)) == 50);
  CHECK(rounds_taken(rounds(70, 1000, 50)) == 70);
  CHECK(rounds_taken(rounds(2, 20, 50)) == 20);
}

TEST_CASE("a timing is the median of the rounds, with its interval") {
  double next = 0;
  const std::vector<Sample> samples = {[&next] { return ++next; }};
  const Timing timing = sample_interleaved(samples, rounds(9, 9, 0), [] { return 0.0; }).front();
  CHECK(timing.us == 5);
  CHECK(timing.low == 2);
  CHECK(timing.high == 8);
}

TEST_CASE("a replay is long enough, and whole rings") {
  const MeasureOptions options;
  CHECK(calls_per_replay(1, 1, options) == 500);
  CHECK(calls_per_replay(1, 0.1, options) == 1024);
  CHECK(calls_per_replay(1, 0, options) == 1024);
  CHECK(calls_per_replay(1, 2000, options) == 1);
  CHECK(calls_per_replay(4, 200, options) == 4);
  CHECK(calls_per_replay(25, 10, options) == 50);
  CHECK(calls_per_replay(25, 9, options) == 75);
  CHECK(calls_per_replay(2000, 1, options) == 2000);
}

TEST_CASE_FIXTURE(StubFixture, "a graph takes the sets in turn, and its time is that of one call") {
  const auto on = device();
  const DeviceBuffer buffer = on->allocate(64);
  std::vector<std::size_t> sets_seen;
  const Call one = [&](std::size_t set, CUstream_st* stream) {
    sets_seen.push_back(set);
    on->fill_async(buffer.data(), 1, 64, stream);
  };
  const Call two = [&](std::size_t, CUstream_st* stream) {
    on->fill_async(buffer.data(), 1, 64, stream);
    on->fill_async(buffer.data(), 2, 64, stream);
  };
  const std::vector<Call> calls = {one, two};
  const std::vector<Timing> timings = measure_interleaved(*on, calls, 5, rounds(7, 7, 0));
  REQUIRE(timings.size() == 2);
  CHECK(timings[0].us == doctest::Approx(kStubCallUs));
  CHECK(timings[0].low == doctest::Approx(kStubCallUs));
  CHECK(timings[1].us == doctest::Approx(2 * kStubCallUs));
  CHECK(timings[0].rounds == 7);
  REQUIRE(sets_seen.size() == 5 + 500);
  for (std::size_t i = 0; i < sets_seen.size(); ++i) CHECK(sets_seen[i] == i % 5);
  // For each call, pilot and real graph: an untimed launch and a timed one; then 7 of both.
  CHECK(cuda.calls["cuGraphLaunch"] == 2 * (2 * 2 + 7 * 2));
}

TEST_CASE_FIXTURE(StubFixture,
                  "a call that throws ends the measurement, and leaves nothing behind") {
  const auto on = device();
  const std::vector<Call> calls = {
      [](std::size_t, CUstream_st*) { throw std::out_of_range("the call's own"); }};
  CHECK_THROWS_WITH_AS(measure_interleaved(*on, calls, 1), "the call's own", std::out_of_range);
}

TEST_CASE_FIXTURE(StubFixture, "warming up takes about the time it is given") {
  const auto on = device();
  warm_up(*on, 1);
  CHECK(cuda.calls["cuGraphLaunch"] >= 2);
}

}  // namespace ropejit
