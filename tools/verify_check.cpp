#include "tools/verify_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "ropejit/reference.h"
#include "src/rounding.h"

namespace ropejit {
namespace {

/// One head of one token, in both memories.
struct Row {
  const char* tensor;
  std::int64_t batch, seq;
  int head;
  const std::byte* in;  ///< before the call
  const std::byte* out;
  std::ptrdiff_t in_step, out_step;  ///< bytes from one element to the next

  const std::byte* in_at(int d) const { return in + d * in_step; }
  const std::byte* out_at(int d) const { return out + d * out_step; }

  std::string element(int d) const {
    return fmt::format("{}[{}, {}, {}, {}]", tensor, batch, seq, head, d);
  }
};

class OutputCheck {
 public:
  OutputCheck(const VerifyCase& test, const CaseMemory& before, const CaseMemory& after)
      : test_(test), before_(before), after_(after), element_(size_of(test.spec.dtype)) {
    for (const Block& block : before.blocks) written_.emplace_back(block.size(), false);
    table_ =
        test.spec.angles == AngleSource::table ? args_of(test, table_memory_).table : CosSinTable{};
  }

  Check run() {
    for (const CaseToken& token : tokens_of(test_)) {
      if (!token.position) continue;
      find_angles(*token.position);
      check_tensor("q_out", token, before_.q, after_.q_out);
      check_tensor("k_out", token, before_.k, after_.k_out);
    }
    check_unwritten();
    return check_;
  }

 private:
  void fail(std::string problem) {
    if (check_.problem.empty()) check_.problem = std::move(problem);
  }

  void find_angles(std::int64_t position) {
    angles_.clear();
    for (int pair = 0; pair < test_.spec.rotary() / 2; ++pair) {
      angles_.push_back(pair_cos_sin(test_.spec, test_.frequencies, table_, position, pair));
    }
  }

  void check_tensor(const char* name, const CaseToken& token, const std::optional<PlacedTensor>& in,
                    const std::optional<PlacedTensor>& out) {
    if (!in || !out) return;
    for (int head = 0; head < in->heads; ++head) {
      const BlockAddress from = element_address(test_, *in, token.batch, token.seq, head, 0);
      const BlockAddress to = element_address(test_, *out, token.batch, token.seq, head, 0);
      const Row row{name,
                    token.batch,
                    token.seq,
                    head,
                    before_.blocks[from.block].data() + from.byte,
                    after_.blocks[to.block].data() + to.byte,
                    in->stride_dim * static_cast<std::ptrdiff_t>(element_),
                    out->stride_dim * static_cast<std::ptrdiff_t>(element_)};
      check_rotated(row);
      check_passed_through(row);
      mark_written(to, row.out_step);
    }
  }

  void mark_written(const BlockAddress& row, std::ptrdiff_t step) {
    const auto first = written_[row.block].begin() + static_cast<std::ptrdiff_t>(row.byte);
    for (int d = 0; d < test_.spec.head_dim; ++d) {
      std::fill_n(first + d * step, element_, true);
    }
  }

  void check_rotated(const Row& row) {
    const bool interleaved = test_.spec.layout == Layout::interleaved;
    const int pairs = test_.spec.rotary() / 2;
    for (int i = 0; i < pairs; ++i) {
      const int a = interleaved ? 2 * i : i;
      const int b = interleaved ? 2 * i + 1 : i + pairs;
      const double x = value(row.in_at(a)), y = value(row.in_at(b));
      const CosSin& angle = angles_[static_cast<std::size_t>(i)];
      const double norm = std::sqrt(x * x + y * y) * test_.frequencies.attention_factor;
      check_component(row, a, x * angle.cos - y * angle.sin, norm);
      check_component(row, b, y * angle.cos + x * angle.sin, norm);
    }
  }

  void check_component(const Row& row, int d, double exact, double norm) {
    const double result = value(row.out_at(d));
    if (!std::isfinite(norm)) {
      if (std::isfinite(result)) {
        fail(fmt::format("{} = {}: its pair holds an infinity or a NaN", row.element(d), result));
      }
    } else if (std::isnan(exact) || !std::isfinite(result)) {
      if (!(std::isnan(exact) && std::isnan(result))) {
        fail(fmt::format("{} = {}: exact is {}", row.element(d), result, exact));
      }
    } else {
      check_error(row, d, result, exact, norm);
    }
  }

  void check_error(const Row& row, int d, double result, double exact, double norm) {
    const double error = std::fabs(result - exact);
    const ErrorBound bound = error_bound(test_.spec.dtype, exact, norm);
    const double excess = error - bound.rounding;
    if (excess <= 0) return;
    check_.worst_fraction = std::max(check_.worst_fraction, excess / bound.arithmetic);
    check_.worst_error = std::max(check_.worst_error, excess / norm);
    if (excess <= bound.arithmetic) return;
    fail(fmt::format("{} = {:.9g}: exact is {:.9g}; the error, {:.3g}, is {:.4g} times its bound",
                     row.element(d), result, exact, error, error / bound.total()));
  }

  void check_passed_through(const Row& row) {
    for (int d = test_.spec.rotary(); d < test_.spec.head_dim; ++d) {
      if (std::memcmp(row.in_at(d), row.out_at(d), element_) == 0) continue;
      fail(fmt::format("{} = {}: passes through, and was {}", row.element(d), value(row.out_at(d)),
                       value(row.in_at(d))));
      return;
    }
  }

  void check_unwritten() {
    for (std::size_t block = 0; block < before_.blocks.size(); ++block) {
      const std::byte* was = before_.blocks[block].data();
      const std::byte* is = after_.blocks[block].data();
      for (std::size_t i = 0; i < before_.blocks[block].size(); ++i) {
        if (was[i] == is[i] || written_[block][i]) continue;
        fail(fmt::format("{}: byte {} of its memory, which is no part of an output, was changed",
                         content_of(block), i));
        return;
      }
    }
  }

  /// What lies in a block.
  std::string content_of(std::size_t block) const {
    std::string names;
    const auto add = [&](const char* name, const auto& address) {
      if (!address || address->block != block) return;
      names += (names.empty() ? "" : ", ") + std::string(name);
    };
    const auto first = [](const std::optional<PlacedTensor>& tensor) {
      return tensor ? std::optional(tensor->first) : std::nullopt;
    };
    add("q", first(before_.q));
    add("k", first(before_.k));
    add("q_out", first(before_.q_out));
    add("k_out", first(before_.k_out));
    add("positions", before_.positions);
    add("cu_seqlens", before_.cu_seqlens);
    add("cos", before_.cos);
    add("sin", before_.sin);
    return names;
  }

  double value(const std::byte* at) const { return load_element(test_.spec.dtype, at); }

  const VerifyCase& test_;
  const CaseMemory& before_;
  const CaseMemory& after_;
  std::size_t element_;
  CaseMemory table_memory_ = before_;
  CosSinTable table_;
  std::vector<CosSin> angles_;              ///< of the token at hand
  std::vector<std::vector<bool>> written_;  ///< per block and byte: part of an output
  Check check_;
};

/// The elements of a row, side by side.
std::vector<std::byte> row_of(const VerifyCase& test, const CaseMemory& memory,
                              const PlacedTensor& tensor, const CaseToken& token, int head) {
  std::vector<std::byte> row;
  for (int d = 0; d < test.spec.head_dim; ++d) {
    const BlockAddress at = element_address(test, tensor, token.batch, token.seq, head, d);
    const std::byte* from = memory.blocks[at.block].data() + at.byte;
    row.insert(row.end(), from, from + size_of(test.spec.dtype));
  }
  return row;
}

}  // namespace

ErrorBound error_bound(Dtype dtype, double exact, double norm) noexcept {
  if (dtype == Dtype::float32) return {0, 4e-7 * norm};
  return {unit_in_last_place(dtype, exact) / 2, 2e-6 * norm};
}

Check check_outputs(const VerifyCase& test, const CaseMemory& before, const CaseMemory& after) {
  return OutputCheck(test, before, after).run();
}

std::string compare_outputs(const VerifyCase& test, const CaseMemory& memory,
                            const VerifyCase& other_test, const CaseMemory& other) {
  for (const CaseToken& token : tokens_of(test)) {
    if (!token.position) continue;
    for (const bool is_q : {true, false}) {
      const auto& tensor = is_q ? memory.q_out : memory.k_out;
      const auto& other_tensor = is_q ? other.q_out : other.k_out;
      for (int head = 0; tensor && head < tensor->heads; ++head) {
        if (row_of(test, memory, *tensor, token, head) ==
            row_of(other_test, other, *other_tensor, token, head)) {
          continue;
        }
        return fmt::format("{}_out[{}, {}, {}]: not the same bits", is_q ? 'q' : 'k', token.batch,
                           token.seq, head);
      }
    }
  }
  return {};
}

}  // namespace ropejit
