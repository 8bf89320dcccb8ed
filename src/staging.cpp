#include "src/staging.h"

#include <cstring>
#include <utility>

namespace ropejit {

Staging::Staging(std::shared_ptr<const Device> device, std::size_t bytes)
    : device_(std::move(device)), bytes_(bytes) {}

void Staging::make_slots() {
  std::array<Event, kSlots> events;
  for (Event& event : events) event = device_->create_event();
  slots_ = device_->allocate_pinned(kSlots * bytes_);
  read_ = std::move(events);
}

void Staging::copy(void* to, const void* from, CUstream_st* stream) {
  const std::lock_guard lock(mutex_);
  if (slots_.data() == nullptr) make_slots();
  const Event& read = read_[next_];
  read.synchronize();
  std::byte* slot = slots_.data() + next_ * bytes_;
  next_ = (next_ + 1) % kSlots;
  std::memcpy(slot, from, bytes_);
  device_->copy_async(to, slot, bytes_, stream);
  read.record(stream);
}

}  // namespace ropejit
