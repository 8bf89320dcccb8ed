#include "src/rope.h"

#include <utility>

#include "ropejit/reference.h"

namespace ropejit {
Rope::Rope(std::shared_ptr<const State> state) : state_(std::move(state)) {}

const RopeSpec& Rope::spec() const noexcept { return state_->spec; }
int Rope::device() const noexcept { return state_->device; }

void Rope::apply(const RopeArgs& args, CUstream_st* stream) const {
  const State& state = *state_;
  if (state.device == kCpuDevice) {
    apply_reference(state.spec, state.frequencies, args);
    return;
  }
  const CallFacts facts = check_args(state.spec, args);
  if (facts.tokens == 0) return;
  const bool aligned = aligned_to(state.spec, facts.bits, state.alignment);
  if (!aligned) count(state.counters->unaligned_calls);
  const RopeKernel& chosen =
      aligned ? state.wide[static_cast<std::size_t>(token_bucket(facts.tokens))] : state.narrow;
  const Launch launch = plan_launch(state.spec, chosen.shape, args, facts,
                                    static_cast<const std::uint64_t*>(state.turns.data()),
                                    state.frequencies.attention_factor);
  chosen.kernel->launch(&launch.params, launch.grid, launch.block, stream, args.dependent_launch);
}

}  // namespace ropejit
