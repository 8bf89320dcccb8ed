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
  int file;  ///< 0 or 1; they may be one object
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

void add_best(std::map<Key, Placed>& best, const std::vector<TuningRun>& runs, int file) {
  for (const TuningRun& run : runs) {
    for (const TuningEntry& entry : run.entries) {
      const Placed placed{file, &run, &entry};
      const auto [found, is_new] =
          best.emplace(Key(run.device_class, entry.spec, entry.tokens), placed);
      if (!is_new && better_measured(placed, found->second)) found->second = placed;
    }
  }
}

/// The run with those of its entries that are the best.
TuningRun best_of(const std::map<Key, Placed>& best, const TuningRun& run, int file) {
  TuningRun kept{run.device_class, run.aliases, run.provenance, {}};
  for (const TuningEntry& entry : run.entries) {
    const Placed& placed = best.at(Key(run.device_class, entry.spec, entry.tokens));
    if (placed.entry == &entry && placed.file == file) kept.entries.push_back(entry);
  }
  return kept;
}

bool same_origin(const TuningRun& a, const TuningRun& b) {
  return a.device_class == b.device_class && a.provenance == b.provenance;
}

bool same_class(const TuningRun& a, const TuningRun& b) { return a.device_class == b.device_class; }

TuningRun* find(TuningFile& file, const TuningRun& run,
                bool (*matches)(const TuningRun&, const TuningRun&)) {
  const auto found = std::find_if(file.runs.begin(), file.runs.end(),
                                  [&](const TuningRun& other) { return matches(other, run); });
  return found == file.runs.end() ? nullptr : &*found;
}

void add_aliases(TuningRun& run, const std::vector<std::string>& aliases) {
  for (const std::string& alias : aliases) {
    if (std::find(run.aliases.begin(), run.aliases.end(), alias) == run.aliases.end()) {
      run.aliases.push_back(alias);
    }
  }
}

/// Adds a run; one that is in both files is one again.
void append(TuningFile& file, TuningRun run) {
  TuningRun* same = find(file, run, same_origin);
  if (same == nullptr) {
    file.runs.push_back(std::move(run));
    return;
  }
  add_aliases(*same, run.aliases);
  same->entries.insert(same->entries.end(), run.entries.begin(), run.entries.end());
}

/// Names are of the class, so they stay with another run of it.
void drop_empty_runs(TuningFile& file) {
  const auto empty = std::stable_partition(file.runs.begin(), file.runs.end(),
                                           [](const TuningRun& r) { return !r.entries.empty(); });
  const std::vector<TuningRun> dropped(empty, file.runs.end());
  file.runs.erase(empty, file.runs.end());
  for (const TuningRun& run : dropped) {
    if (TuningRun* heir = find(file, run, same_class)) add_aliases(*heir, run.aliases);
  }
}

}  // namespace

TuningFile merge(const TuningFile& a, const TuningFile& b) {
  std::map<Key, Placed> best;
  add_best(best, a.runs, 0);
  add_best(best, b.runs, 1);
  TuningFile merged;
  for (const TuningRun& run : a.runs) append(merged, best_of(best, run, 0));
  for (const TuningRun& run : b.runs) append(merged, best_of(best, run, 1));
  drop_empty_runs(merged);
  return merged;
}

}  // namespace ropejit
