#ifndef ROPEJIT_SRC_FOR_EACH_INDEX_H_
#define ROPEJIT_SRC_FOR_EACH_INDEX_H_

#include <cstddef>
#include <functional>

namespace ropejit {

/// Calls `work` for 0 to `count` - 1, each once, on `threads` threads (0: one per core), this one
/// included, and returns when all have returned. The first exception ends the rest and is thrown
/// again here.
void for_each_index(std::size_t count, unsigned threads,
                    const std::function<void(std::size_t)>& work);

}  // namespace ropejit

#endif  // ROPEJIT_SRC_FOR_EACH_INDEX_H_
