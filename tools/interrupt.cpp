#include "tools/interrupt.h"

namespace ropejit {
namespace {

// A handler can reach nothing but what is global.
std::atomic<bool> interrupted{false};
std::atomic<int> received{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

extern "C" void note_signal(int signal) {
  interrupted = true;
  received = signal;
}

void handle(int signal, struct sigaction& old) {
  struct sigaction action {};
  action.sa_handler = note_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  ::sigaction(signal, &action, &old);
}

}  // namespace

Interrupt::Interrupt() {
  interrupted = false;
  received = 0;
  handle(SIGINT, old_int_);
  handle(SIGTERM, old_term_);
}

Interrupt::~Interrupt() {
  ::sigaction(SIGINT, &old_int_, nullptr);
  ::sigaction(SIGTERM, &old_term_, nullptr);
}

std::atomic<bool>& Interrupt::flag() noexcept { return interrupted; }

void Interrupt::end_process() noexcept {
  const int signal = received;
  if (signal == 0) return;
  std::raise(signal);
}

}  // namespace ropejit
