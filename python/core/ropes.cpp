#include "core/ropes.h"

#include <algorithm>
#include <utility>

#include "core/rotary.h"

namespace ropejit::python {

Ropes::Ropes(std::shared_ptr<Runtimes> runtimes, std::optional<RotaryParameters> parameters)
    : runtimes_(std::move(runtimes)),
      parameters_(std::move(parameters)),
      depends_on_length_(parameters_ && depends_on_length(*parameters_)) {
  frequencies(0);
}

void Ropes::apply(Call& call, std::int64_t length, std::optional<CUstream_st*> stream) {
  if (parameters_ && call.cos) value_error("cos: exact angles take no table");
  if (!parameters_ && !call.cos) value_error("cos: must be given");
  const int device = device_of(call.leader());
  RopeSpec spec = spec_of(call);
  if (!call.q || !call.k) share_kernels(spec, call);
  if (call.batch() == 0 || call.seq() == 0) {
    validate(spec);
    return;
  }
  if (device != kCpuDevice) {
    CUstream_st* const on = stream ? *stream : call.leader().current_stream();
    python::apply(find(spec, device, length, on), call, on);
    return;
  }
  const Rope rope = find(spec, device, length, nullptr);
  // Frequencies that another thread sets meanwhile must not be those of this call.
  std::optional<nanobind::gil_scoped_release> unlocked;
  if (!depends_on_length_) unlocked.emplace();
  python::apply(rope, call, nullptr);
}

void Ropes::expect_heads(int q_heads, int kv_heads) {
  const auto same = [&](const Heads& heads) { return heads.q == q_heads && heads.kv == kv_heads; };
  if (std::none_of(heads_.begin(), heads_.end(), same)) heads_.push_back({q_heads, kv_heads});
}

std::vector<std::string> Ropes::specs() const {
  std::vector<std::string> texts;
  for (const Made& made : made_) texts.push_back(describe(made.rope.spec()));
  return texts;
}

/// A kernel for q and k also takes one of them alone: so the backward of one, say, compiles nothing
/// that was not pre-warmed with both.
void Ropes::share_kernels(RopeSpec& spec, Call& call) const {
  const int alone = spec.q_heads;
  const auto take = [&](const Heads& heads, bool as_q) {
    spec.q_heads = heads.q;
    spec.kv_heads = heads.kv;
    if (call.q.has_value() == as_q) return;
    std::swap(call.q, call.k);
    std::swap(call.q_out, call.k_out);
  };
  for (const Heads& heads : heads_) {
    if (heads.q == alone) return take(heads, true);
  }
  for (const Heads& heads : heads_) {
    if (heads.kv == alone) return take(heads, false);
  }
}

Rope Ropes::find(const RopeSpec& spec, int device, std::int64_t length, CUstream_st* stream) {
  if (depends_on_length_) length = effective_length(*parameters_, length);
  const auto fits = [&](const Made& made) {
    return made.rope.device() == device && made.rope.spec() == spec;
  };
  const auto known = std::find_if(made_.begin(), made_.end(), fits);
  if (known == made_.end()) {
    const Rope rope = [&] {
      const nanobind::gil_scoped_release unlocked;
      return runtimes_->current()->rope(spec, frequencies(length), device);
    }();
    // Another thread may have made one meanwhile: two alike do no harm.
    made_.push_back({rope, length});
    expect_heads(spec.q_heads, spec.kv_heads);
    return rope;
  }
  if (depends_on_length_ && known->length != length) {
    known->rope.set_frequencies(frequencies(length), stream);
    known->length = length;
  }
  return known->rope;
}

Frequencies Ropes::frequencies(std::int64_t length) const {
  return parameters_ ? make_frequencies(*parameters_, length) : Frequencies{};
}

}  // namespace ropejit::python
