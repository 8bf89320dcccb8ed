#include "tools/interrupt.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

namespace ropejit {
namespace {

/// The signal that ends a child process which does `work`; 0: it ended by itself, with exit code 0;
/// -1: with another.
template <typename Work>
int signal_that_ends(Work work) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);  // the test's own
    work();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) return WTERMSIG(status);
  return WEXITSTATUS(status) == 0 ? 0 : -1;
}

}  // namespace

TEST_CASE("the first signal sets the flag and nothing else, a second one ends the process") {
  for (const int signal : {SIGINT, SIGTERM}) {
    CHECK(signal_that_ends([&] {
            Interrupt interrupt;
            if (interrupt.flag()) ::_exit(1);
            std::raise(signal);
            ::_exit(interrupt.flag() ? 0 : 1);
          }) == 0);
    CHECK(signal_that_ends([&] {
            Interrupt interrupt;
            std::raise(signal);
            std::raise(signal);
          }) == signal);
  }
}

TEST_CASE("the process can be ended as the signal would have") {
  CHECK(signal_that_ends([] {
          Interrupt interrupt;
          std::raise(SIGTERM);
          interrupt.end_process();
        }) == SIGTERM);
  CHECK(signal_that_ends([] {
          Interrupt interrupt;
          interrupt.flag() = true;  // no signal
          interrupt.end_process();
        }) == 0);
}

TEST_CASE("afterwards signals do what they did before, and the flag starts anew") {
  CHECK(signal_that_ends([] {
          { Interrupt interrupt; }
          std::raise(SIGINT);
        }) == SIGINT);
  CHECK(signal_that_ends([] {
          {
            Interrupt interrupt;
            std::raise(SIGINT);
          }
          Interrupt again;
          if (again.flag()) std::raise(SIGKILL);
        }) == 0);
}

}  // namespace ropejit
