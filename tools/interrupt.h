#ifndef ROPEJIT_TOOLS_INTERRUPT_H_
#define ROPEJIT_TOOLS_INTERRUPT_H_

#include <atomic>
#include <csignal>

namespace ropejit {

/// While it lives, the first SIGINT or SIGTERM only sets a flag, so that what is under way can come
/// to a good end; a second one ends the process at once. At most one at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// Becomes true with the first signal. Whoever else wants all to stop may set it.
  std::atomic<bool>& flag() noexcept;

  /// Ends the process as the signal that came would have; does nothing if none came.
  void end_process() noexcept;

 private:
  struct sigaction old_int_ {};
  struct sigaction old_term_ {};
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_INTERRUPT_H_
