#ifndef ROPEJIT_SRC_SINGLE_FLIGHT_H_
#define ROPEJIT_SRC_SINGLE_FLIGHT_H_

#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <string>

namespace ropejit {

/// A map whose values are made once, however many threads ask at the same time: the first makes it,
/// the others wait for it. A value whose making throws is forgotten, so that a later call tries
/// again; all who waited get the exception. No lock is held while a value is made.
template <class Value>
class SingleFlight {
 public:
  struct Result {
    Value value;
    bool made;  ///< by this call
  };

  Result get(const std::string& name, const std::function<Value()>& make) {
    std::promise<Value> promise;
    std::shared_future<Value> future;
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = values_.find(name); found != values_.end()) {
        future = found->second;
      } else {
        values_.emplace(name, promise.get_future().share());
      }
    }
    if (future.valid()) return {future.get(), false};
    try {
      Value value = make();
      promise.set_value(value);
      return {std::move(value), true};
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        values_.erase(name);
      }
      promise.set_exception(std::current_exception());
      throw;
    }
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_future<Value>> values_;
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_SINGLE_FLIGHT_H_
