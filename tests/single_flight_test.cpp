#include "src/single_flight.h"

#include <doctest/doctest.h>

#include <atomic>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ropejit {

TEST_CASE("a value is made once, and found from then on") {
  SingleFlight<int> values;
  int made = 0;
  const auto make = [&] { return 40 + ++made; };
  const auto first = values.get("a", make);
  CHECK(first.value == 41);
  CHECK(first.made);
  const auto second = values.get("a", make);
  CHECK(second.value == 41);
  CHECK(!second.made);
  CHECK(values.get("b", make).value == 42);
}

TEST_CASE("of many threads that ask at once, one makes the value and all get it") {
  constexpr int kThreads = 16;
  SingleFlight<int> values;
  std::atomic<int> calls{0}, made{0}, right{0};
  std::latch start(kThreads);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        const auto result = values.get("a", [&] { return 100 + ++calls; });
        if (result.made) ++made;
        if (result.value == 101) ++right;
      });
    }
  }
  CHECK(calls == 1);
  CHECK(made == 1);
  CHECK(right == kThreads);
}

TEST_CASE("making one value does not wait for the making of another") {
  SingleFlight<std::string> values;
  const auto outer = values.get("a", [&] {
    std::string inner;
    std::jthread([&] { inner = values.get("b", [] { return std::string("b"); }).value; }).join();
    return "a" + inner;
  });
  CHECK(outer.value == "ab");
}

TEST_CASE("who waited for a value that failed gets its exception; who asks later tries again") {
  SingleFlight<int> values;
  std::latch entered(1);
  std::atomic<int> failures{0}, calls{0};
  const auto ask = [&](bool first) {
    try {
      values.get("a", [&]() -> int {
        ++calls;
        if (first) entered.count_down();
        throw std::runtime_error("no");
      });
    } catch (const std::runtime_error&) {
      ++failures;
    }
  };
  {
    const std::jthread first(ask, true);
    entered.wait();
    const std::jthread second(ask, false);  // waits for the first, or comes after it
  }
  CHECK(failures == 2);
  CHECK(calls >= 1);
  CHECK(values.get("a", [] { return 7; }).value == 7);
}

}  // namespace ropejit
