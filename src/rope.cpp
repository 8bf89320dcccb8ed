#include "src/rope.h"

#include <fmt/format.h>

#include <utility>

#include "ropejit/reference.h"

namespace ropejit {
namespace {

/// Throws Error(invalid_argument) unless a Rope may go on with other frequencies.
void check_replacement(const Rope::State& state, const Frequencies& frequencies) {
  if (state.spec.angles == AngleSource::table) {
    throw Error(ErrorCode::invalid_argument,
                "angles = table: must be exact for set_frequencies; with a table the angles are "
                "those of RopeArgs::table");
  }
  validate(state.spec, frequencies);
  if (frequencies.attention_factor != state.attention_factor) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("frequencies.attention_factor = {}: must stay {}; it is a parameter of each "
                    "launch, so that captured graphs would keep the old one (make another Rope)",
                    frequencies.attention_factor, state.attention_factor));
  }
}

/// Throws Error(invalid_argument) if `stream` is being captured.
void refuse_capture(const Device& device, CUstream_st* stream) {
  if (!device.is_capturing(stream)) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("stream = {}: must not be in a capture: every replay would set these "
                          "frequencies again; set them outside, and replays take the new ones",
                          fmt::ptr(stream)));
}

}  // namespace

Rope::Rope(std::shared_ptr<const State> state) : state_(std::move(state)) {}

const RopeSpec& Rope::spec() const noexcept { return state_->spec; }
int Rope::device() const noexcept { return state_->device; }

void Rope::apply(const RopeArgs& args, CUstream_st* stream) const {
  const State& state = *state_;
  if (state.device == kCpuDevice) {
    apply_reference(state.spec, *state.frequencies->get(), args);
    return;
  }
  const CallFacts facts = check_args(state.spec, args);
  if (facts.tokens == 0) return;
  const bool aligned = aligned_to(state.spec, facts.bits, state.alignment);
  if (!aligned) count(state.counters->unaligned_calls);
  const RopeKernel& chosen =
      aligned ? state.wide[static_cast<std::size_t>(token_bucket(facts.tokens))] : state.narrow;
  const Launch launch =
      plan_launch(state.spec, chosen.shape, args, facts,
                  static_cast<const std::uint64_t*>(state.turns.data()), state.attention_factor);
  chosen.kernel->launch(&launch.params, launch.grid, launch.block, stream, args.dependent_launch);
}

void Rope::set_frequencies(const Frequencies& frequencies, CUstream_st* stream) const {
  const State& state = *state_;
  check_replacement(state, frequencies);
  if (state.device == kCpuDevice) {
    state.frequencies->set(frequencies);
    return;
  }
  refuse_capture(state.staging->device(), stream);
  state.staging->copy(state.turns.data(), frequencies.turns.data(), stream);
}

}  // namespace ropejit
