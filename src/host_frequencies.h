#ifndef ROPEJIT_SRC_HOST_FREQUENCIES_H_
#define ROPEJIT_SRC_HOST_FREQUENCIES_H_

#include <memory>
#include <mutex>
#include <utility>

#include "ropejit/frequencies.h"

namespace ropejit {

/// The frequencies of a Rope on the CPU: replaced as a whole, while other threads go on with those
/// that they have. Thread-safe.
class HostFrequencies {
 public:
  explicit HostFrequencies(Frequencies frequencies)
      : current_(std::make_shared<const Frequencies>(std::move(frequencies))) {}

  std::shared_ptr<const Frequencies> get() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  void set(Frequencies frequencies) {
    auto replaced = std::make_shared<const Frequencies>(std::move(frequencies));
    const std::lock_guard lock(mutex_);
    current_.swap(replaced);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Frequencies> current_;
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_HOST_FREQUENCIES_H_
