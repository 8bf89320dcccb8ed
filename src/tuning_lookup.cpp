#include "src/tuning_lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <tuple>

#include "ropejit/error.h"
#include "src/token_bucket.h"
#include "src/tuning_distance.h"

namespace ropejit {
namespace {

/// Why the config cannot run on the class of devices; empty if it can.
std::string problem_of(const LaunchConfig& config, const DeviceClass& device_class) {
  try {
    validate(config);
  } catch (const Error& error) {
    return error.what();
  }
  if (config.access_bytes == 32 && device_class.major < 10) {
    return fmt::format("access_bytes = 32: is for sm_100 and later, not for {}",
                       device_class.arch());
  }
  return {};
}

std::string tokens_text(std::int64_t tokens) {
  return fmt::format("{} token{}", tokens, tokens == 1 ? "" : "s");
}

std::string reason(const TuningCandidate* best, int bucket) {
  if (best == nullptr) return "nothing that was measured on this class of devices is near enough";
  const TuningRank rank = best->rank(bucket);
  switch (rank.match) {
    case Match::exact:
      return fmt::format("measured for this spec at {} on this class of devices",
                         tokens_text(rank.tokens));
    case Match::near_tokens:
      return fmt::format("measured for this spec at {}, the nearest count that was",
                         tokens_text(rank.tokens));
    case Match::near_spec:
    case Match::heuristic:
      break;
  }
  return fmt::format("measured for {} at {}, the nearest at a distance of {:.2f}",
                     describe(best->entry->spec), tokens_text(rank.tokens), rank.distance);
}

}  // namespace

bool TuningRank::operator<(const TuningRank& other) const noexcept {
  return std::tie(match, distance, layer, other.tokens) <
         std::tie(other.match, other.distance, other.layer, tokens);
}

TuningRank TuningCandidate::rank(int bucket) const noexcept {
  const int steps = std::abs(token_bucket(entry->tokens) - bucket);
  const Match of_this_spec = steps > 0 ? Match::near_tokens : Match::exact;
  return {spec_distance > 0 ? Match::near_spec : of_this_spec,
          spec_distance + kTokensWeight * steps, section->layer, entry->tokens};
}

bool TuningCandidate::fits(int bucket) const noexcept {
  return spec_distance <= 0 || rank(bucket).distance <= kMostDistance;
}

std::vector<TuningCandidate> find_candidates(std::span<const TuningSection> sections,
                                             const SpecClass& spec,
                                             const DeviceClass& device_class) {
  std::vector<TuningCandidate> found;
  const auto add = [&](auto&& distance_of) {
    for (const TuningSection& section : sections) {
      if (section.device_class != device_class) continue;
      for (const TuningEntry& entry : section.entries) {
        const std::optional<double> distance = distance_of(entry);
        if (!distance || *distance > kMostDistance) continue;
        found.push_back(
            {&section, &entry, *distance, problem_of(entry.chosen.config, device_class)});
      }
    }
  };
  add([&](const TuningEntry& entry) {
    return entry.spec == spec ? std::optional(0.0) : std::nullopt;
  });
  const bool settled =
      std::any_of(found.begin(), found.end(),
                  [](const TuningCandidate& candidate) { return candidate.problem.empty(); });
  if (settled) return found;
  add([&](const TuningEntry& entry) {
    return entry.spec == spec ? std::nullopt : spec_distance(spec, entry.spec);
  });
  return found;
}

const TuningCandidate* best_of(std::span<const TuningCandidate> candidates, int bucket) noexcept {
  const TuningCandidate* best = nullptr;
  TuningRank least{};
  for (const TuningCandidate& candidate : candidates) {
    if (!candidate.problem.empty() || !candidate.fits(bucket)) continue;
    const TuningRank rank = candidate.rank(bucket);
    if (best != nullptr && !(rank < least)) continue;
    best = &candidate;
    least = rank;
  }
  return best;
}

std::string why(std::span<const TuningCandidate> candidates, const TuningCandidate* best,
                int bucket) {
  const TuningCandidate* first = nullptr;
  int passed_over = 0;
  for (const TuningCandidate& candidate : candidates) {
    if (candidate.problem.empty() || !candidate.fits(bucket)) continue;
    if (best != nullptr && best->rank(bucket) < candidate.rank(bucket)) continue;
    ++passed_over;
    if (first == nullptr || candidate.rank(bucket) < first->rank(bucket)) first = &candidate;
  }
  std::string text = reason(best, bucket);
  if (first != nullptr) {
    text += fmt::format("; passed over what {} says for {}: {}", first->section->file,
                        tokens_text(first->entry->tokens), first->problem);
  }
  if (passed_over > 1) text += fmt::format("; and {} more", passed_over - 1);
  return text;
}

}  // namespace ropejit
