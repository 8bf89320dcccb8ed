#include "tools/case_positions.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace ropejit {
namespace {

/// A position that the index type can hold.
std::int64_t fitted(const VerifyCase& test, std::int64_t position) {
  if (test.spec.positions == PositionMode::offset || test.spec.index_type == IndexType::int64) {
    return position;
  }
  using Limits = std::numeric_limits<std::int32_t>;
  return std::clamp<std::int64_t>(position, Limits::min(), Limits::max());
}

/// The position of the i-th sequence: `start`, then half way to the other side, and so on.
std::int64_t start_of(const VerifyCase& test, std::int64_t start, std::int64_t i) {
  const std::int64_t sign = i % 2 == 0 ? 1 : -1;
  return fitted(test, start / (i + 1) * sign + i);
}

void set_token_ids(VerifyCase& test, std::int64_t start) {
  const std::int64_t stride = test.position_stride_batch.value_or(test.seq);
  const std::int64_t count = test.batch == 0 || test.seq == 0
                                 ? 0
                                 : std::max<std::int64_t>(test.batch - 1, 0) * stride + test.seq;
  const std::int64_t step = start > 0 ? -1 : 1;  // towards 0: no id leaves its type
  for (std::int64_t i = 0; i < count; ++i) {
    const bool far = i % 5 == 3;
    test.positions.push_back(fitted(test, far ? -start / 3 + i : start + step * i));
  }
}

void set_ragged(VerifyCase& test, std::int64_t start) {
  const std::int64_t tokens = test.batch * test.seq;
  test.seq = tokens;
  const std::int64_t before = tokens > 4 ? 1 : 0, after = tokens > 6 ? 2 : 0;
  const std::int64_t n = tokens - before - after;
  const std::int64_t lengths[] = {0, n / 5, 0, n - n / 5 - n / 3, n / 3, 0};
  test.batch = 0;
  test.cu_seqlens.push_back(before);
  for (const std::int64_t length : lengths) {
    test.cu_seqlens.push_back(test.cu_seqlens.back() + length);
    if (start != 0) test.positions.push_back(start_of(test, start, test.batch));
    ++test.batch;
  }
}

/// Positions inside the table, or around both of its ends.
void set_table_positions(VerifyCase& test, bool inside) {
  const std::int64_t tokens = std::max<std::int64_t>(test.batch * test.seq, 1);
  test.table_rows = inside ? tokens + 8 : (tokens + 1) / 2;
  const auto start = [&](std::int64_t i) { return inside ? 3 + i % 4 : -1 - i % 2; };
  switch (test.spec.positions) {
    case PositionMode::offset:
      test.positions = {start(0)};
      return;
    case PositionMode::sequence_offsets:
      for (std::int64_t b = 0; b < test.batch; ++b) test.positions.push_back(start(b));
      return;
    case PositionMode::token_ids: {
      const std::int64_t stride = test.position_stride_batch.value_or(test.seq);
      for (std::int64_t i = 0; i < test.batch * stride + test.seq; ++i) {
        test.positions.push_back((i * 7) % tokens + (inside ? 0 : start(i)));
      }
      return;
    }
    case PositionMode::ragged:
      set_ragged(test, 1);
      for (std::size_t b = 0; b < test.positions.size(); ++b) {
        test.positions[b] = start(static_cast<std::int64_t>(b));
      }
      return;
  }
}

}  // namespace

void set_positions(VerifyCase& test, std::int64_t start) {
  test.positions.clear();
  test.cu_seqlens.clear();
  if (test.spec.positions != PositionMode::token_ids) test.position_stride_batch.reset();
  if (test.spec.angles == AngleSource::table) {
    set_table_positions(test, start >= 0);
    return;
  }
  switch (test.spec.positions) {
    case PositionMode::offset:
      test.positions = {start};
      return;
    case PositionMode::sequence_offsets:
      for (std::int64_t b = 0; b < test.batch; ++b) {
        test.positions.push_back(start_of(test, start, b));
      }
      return;
    case PositionMode::token_ids:
      set_token_ids(test, start);
      return;
    case PositionMode::ragged:
      set_ragged(test, start);
      return;
  }
}

}  // namespace ropejit
