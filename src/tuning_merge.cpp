// The merging of tuning_file.h.

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "src/tuning_file.h"

namespace ropejit {
namespace {

/// An entry where it stands.
struct Placed {
  const TuningRun* run;
  const TuningEntry* entry;
};

using Key = std::tuple<DeviceClass, SpecClass, std::int64_t>;

double relative_interval(const MeasuredConfig& measured) {
  return (measured.high - measured.low) / measured.us;
}

bool better_measured(const Placed& a, const Placed& b) {
  const double width_a = relative_interval(a.entry->chosen);
  const double width_b = relative_interval(b.entry->chosen);
  if (width_a != width_b) return width_a < width_b;
  if (a.entry->samples != b.entry->samples) return a.entry->samples > b.entry->samples;
  return a.run->provenance.date > b.run->provenance.date;
}

void add_best(std::map<Key, Placed>& best, const TuningFile& file) {
  for (const TuningRun& run : file.runs) {
    for (const TuningEntry& entry : run.entries) {
      const Placed placed{&run, &entry};
      const auto [found, is_new] =
          best.emplace(Key(run.device_class, entry.spec, entry.tokens), placed);
      if (!is_new && better_measured(placed, found->second)) found->second = placed;
    }
  }
}

/// The run with those of its entries that are the best.
TuningRun best_of(const TuningRun& run, const std::map<Key, Placed>& best) {
  TuningRun kept{run.device_class, run.aliases, run.provenance, {}};
  for (const TuningEntry& entry : run.entries) {
    const Placed& placed = best.at(Key(run.device_class, entry.spec, entry.tokens));
    if (placed.entry == &entry) kept.entries.push_back(entry);
  }
  return kept;
}

bool same_origin(const TuningRun& a, const TuningRun& b) {
  return a.device_class == b.device_class && a.provenance == b.provenance;
}

/// Adds a run; one that was in both files is one again.
void append(TuningFile& file, TuningRun run) {
  if (run.entries.empty()) return;
  const auto same = std::find_if(file.runs.begin(), file.runs.end(),
                                 [&](const TuningRun& other) { return same_origin(other, run); });
  if (same == file.runs.end()) {
    file.runs.push_back(std::move(run));
    return;
  }
  for (std::string& alias : run.aliases) {
    if (std::find(same->aliases.begin(), same->aliases.end(), alias) == same->aliases.end()) {
      same->aliases.push_back(std::move(alias));
    }
  }
  same->entries.insert(same->entries.end(), run.entries.begin(), run.entries.end());
}

}  // namespace

TuningFile merge(const TuningFile& a, const TuningFile& b) {
  std::map<Key, Placed> best;
  add_best(best, a);
  add_best(best, b);
  TuningFile merged;
  for (const TuningFile* file : {&a, &b}) {
    for (const TuningRun& run : file->runs) append(merged, best_of(run, best));
  }
  return merged;
}

}  // namespace ropejit
