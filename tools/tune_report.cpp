#include "tools/tune_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace ropejit {
namespace {

std::string name_of(const CellRecord& cell) {
  return fmt::format("{}, {} tokens", describe(cell.spec), cell.tokens);
}

std::size_t timed_in(const CellRecord& cell) {
  return static_cast<std::size_t>(
      std::count_if(cell.candidates.begin(), cell.candidates.end(),
                    [](const Candidate& candidate) { return !candidate.rounds.empty(); }));
}

/// `3.1% faster than the default`, or what there is to say instead.
std::string gain_text(const Choice& choice) {
  if (choice.is_default) return "the default";
  if (choice.default_us <= 0) return "the default could not be measured";
  return fmt::format("{:.1f}% faster than the default{}", 100 * (choice.default_us / choice.us - 1),
                     choice.is_incumbent ? ", and in use" : "");
}

std::string outcome_of(const TuneStep& step) {
  if (step.cell == nullptr) return "left out";
  if (!step.cell->complete) return "interrupted";
  if (!step.choice) return "no config could be measured";
  return fmt::format(
      "{:.3f} us  {}; {}; {}", step.choice->us, describe(step.choice->config),
      gain_text(*step.choice),
      step.resumed ? "from the checkpoint"
                   : fmt::format("{} configs in {:.1f} s", timed_in(*step.cell), step.seconds));
}

std::string_view first_line(std::string_view message) {
  return message.substr(0, message.find('\n'));
}

}  // namespace

void TuneReport::note_rejected(const CellRecord& cell) {
  for (const Candidate& candidate : cell.candidates) {
    if (candidate.vetting.verdict == Verdict::correct) continue;
    const std::string what =
        fmt::format("rejected for {}: {}: {}: {}", describe(cell.spec), describe(candidate.config),
                    name(candidate.vetting.verdict), first_line(candidate.vetting.message));
    if (!noted_.insert(what).second) continue;
    ++rejected_;
    progress_.note(what);
  }
}

void TuneReport::count_gain(const CellRecord& cell, const Choice& choice) {
  ++tuned_;
  if (choice.is_default) ++default_;
  if (choice.default_us <= 0) return;
  const double gain = choice.default_us / choice.us;
  log_gain_ += std::log(gain);
  ++gains_;
  if (gain - 1 <= best_gain_) return;
  best_gain_ = gain - 1;
  best_cell_ = name_of(cell);
}

void TuneReport::on_step(const TuneStep& step) {
  if (step.cell != nullptr) note_rejected(*step.cell);
  if (!step.problem.empty()) {
    progress_.note(fmt::format("{}: left out: {}", step.name, first_line(step.problem)));
    ++left_out_;
  }
  if (step.choice) {
    count_gain(*step.cell, *step.choice);
  } else if (step.cell != nullptr && step.cell->complete) {
    ++without_choice_;
    ++left_out_;
  }
  progress_.step(step.done, step.total, step.name, outcome_of(step));
}

std::string TuneReport::summary() const {
  std::string text;
  if (gains_ > 0) {
    const double mean = std::exp(log_gain_ / static_cast<double>(gains_)) - 1;
    text = fmt::format("faster than the defaults by {:.1f}% on average", 100 * mean);
    if (!best_cell_.empty()) {
      text += fmt::format(", at most {:.1f}% ({})", 100 * best_gain_, best_cell_);
    }
    text += '\n';
  }
  return text + fmt::format("tuned {}, default {}, rejected {}, left out {}", tuned_, default_,
                            rejected_, left_out_);
}

}  // namespace ropejit
