#include "ropejit/args.h"

namespace ropejit {

Tensor dense_bshd(void* data, std::int64_t seq, std::int64_t heads,
                  std::int64_t head_dim) noexcept {
  return {.data = data,
          .stride_batch = seq * heads * head_dim,
          .stride_seq = heads * head_dim,
          .stride_head = head_dim,
          .stride_dim = 1};
}

Tensor dense_bhsd(void* data, std::int64_t seq, std::int64_t heads,
                  std::int64_t head_dim) noexcept {
  return {.data = data,
          .stride_batch = heads * seq * head_dim,
          .stride_seq = head_dim,
          .stride_head = seq * head_dim,
          .stride_dim = 1};
}

Tensor dense_sbhd(void* data, std::int64_t batch, std::int64_t heads,
                  std::int64_t head_dim) noexcept {
  return {.data = data,
          .stride_batch = heads * head_dim,
          .stride_seq = batch * heads * head_dim,
          .stride_head = head_dim,
          .stride_dim = 1};
}

}  // namespace ropejit
