#include "src/for_each_index.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ropejit {

TEST_CASE("every index is worked on once, whatever the number of threads") {
  for (const unsigned threads : {0u, 1u, 3u, 64u}) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{17}}) {
      std::vector<std::atomic<int>> calls(count);
      for_each_index(count, threads, [&](std::size_t i) { ++calls[i]; });
      for (const std::atomic<int>& made : calls) CHECK(made == 1);
    }
  }
}

TEST_CASE("several threads work at the same time, the caller's among them") {
  std::atomic<int> inside{0};
  std::atomic<bool> caller_worked{false};
  const std::thread::id caller = std::this_thread::get_id();
  for_each_index(2, 2, [&](std::size_t) {
    if (std::this_thread::get_id() == caller) caller_worked = true;
    ++inside;
    while (inside < 2) std::this_thread::yield();  // hangs unless the other index is under way
  });
  CHECK(caller_worked);
}

TEST_CASE("the first exception ends the rest and reaches the caller") {
  std::atomic<int> calls{0};
  std::string message;
  try {
    for_each_index(1000, 1, [&](std::size_t i) {
      ++calls;
      if (i == 3) throw std::runtime_error("index 3");
    });
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  CHECK(message == "index 3");
  CHECK(calls == 4);
}

TEST_CASE("an exception ends what other threads would have begun after it") {
  std::atomic<int> calls{0};
  CHECK_THROWS_AS(for_each_index(1000, 2,
                                 [&](std::size_t i) {
                                   ++calls;
                                   if (i == 0) throw std::runtime_error("index 0");
                                   std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                 }),
                  std::runtime_error);
  CHECK(calls < 900);
}

}  // namespace ropejit
