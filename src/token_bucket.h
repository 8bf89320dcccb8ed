#ifndef ROPEJIT_SRC_TOKEN_BUCKET_H_
#define ROPEJIT_SRC_TOKEN_BUCKET_H_

#include <algorithm>
#include <bit>
#include <cstdint>

namespace ropejit {

/// Calls are put into buckets by their token count, and a Rope has one launch config per bucket.
/// Bucket b holds the counts above 2^(b-1) up to 2^b; the last one all above 2^20 as well.
inline constexpr int kTokenBuckets = 22;

/// The bucket of a count of at least 1.
constexpr int token_bucket(std::int64_t tokens) noexcept {
  return std::min(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(tokens - 1))),
                  kTokenBuckets - 1);
}

/// The token count that stands for a bucket: its largest, for the last one 2^21.
constexpr std::int64_t bucket_tokens(int bucket) noexcept { return std::int64_t{1} << bucket; }

}  // namespace ropejit

#endif  // ROPEJIT_SRC_TOKEN_BUCKET_H_
