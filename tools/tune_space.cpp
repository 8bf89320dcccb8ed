#include "tools/tune_space.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "src/heuristic.h"
#include "src/launch.h"
#include "src/source.h"

namespace ropejit {
namespace {

bool one_instruction_per_access(const TunePoint& point) {
  return point.config.access_bytes < 32 || point.device_class.major >= 10;
}

bool halves_to_exchange(const TunePoint& point) {
  return point.config.pairing == Pairing::registers ||
         point.kernel_spec.layout == Layout::sequential;
}

bool canonical(const TunePoint& point) {
  return effective_config(point.kernel_spec, point.config) == point.config;
}

/// Whether the results of the call, more than the L2 cache holds, are not there for their reader.
bool results_beyond_cache(const TunePoint& point) {
  const RopeSpec& spec = point.kernel_spec;
  const std::int64_t bytes = point.tokens * (spec.q_heads + spec.kv_heads) * spec.head_dim *
                             static_cast<std::int64_t>(size_of(spec.dtype));
  return !point.config.streaming_stores || bytes > point.device_class.l2_bytes;
}

/// Slots of the larger of q and k, out of place.
std::uint64_t slots_of_call(const LaunchShape& shape, std::int64_t tokens) {
  return static_cast<std::uint64_t>(tokens) * std::max(shape.q_groups, shape.kv_groups) *
         shape.slots;
}

bool work_for_every_thread(const TunePoint& point) {
  LaunchConfig smaller = point.config;
  for (const int threads : kBlockThreads) {
    if (threads < point.config.block_threads) smaller.block_threads = threads;
  }
  if (smaller == point.config) return true;
  const LaunchShape shape = launch_shape(point.kernel_spec, smaller);
  return shape.block_slots < slots_of_call(shape, point.tokens);
}

constexpr TuneConstraint kConstraints[] = {
    {"one_instruction_per_access",
     "before sm_100 an access of 32 bytes is two of 16, which access_bytes = 16 gives as well",
     one_instruction_per_access},
    {"halves_to_exchange",
     "the elements of an interleaved pair are neighbours: there is nothing to exchange",
     halves_to_exchange},
    {"canonical",
     "the spec's alignment and head shape make another config of it, which is tried as itself",
     canonical},
    {"results_beyond_cache",
     "streaming stores take results out of the L2 cache, at the cost of who reads them next, which "
     "no time of the call itself shows",
     results_beyond_cache},
    {"work_for_every_thread",
     "a smaller block holds all of the call's work: the threads in excess would idle",
     work_for_every_thread},
};

/// The product of the values.
std::vector<LaunchConfig> all_configs() {
  std::vector<LaunchConfig> all;
  for (const int threads : kBlockThreads) {
    for (const int bytes : kAccessBytes) {
      for (const Pairing pairing : kPairings) {
        for (const int heads : kHeadsPerThread) {
          for (const bool streaming : kStreamingStores) {
            all.push_back({threads, bytes, pairing, heads, streaming});
          }
        }
      }
    }
  }
  return all;
}

/// Adds `config` with the field at the nearest values below and above that `space` has with all the
/// other fields alike.
template <typename Field>
void add_steps(std::vector<LaunchConfig>& found, const LaunchConfig& config,
               Field LaunchConfig::*field, std::span<const LaunchConfig> space) {
  std::set<Field> values;
  for (const LaunchConfig& other : space) {
    LaunchConfig step = config;
    step.*field = other.*field;
    if (step == other) values.insert(step.*field);
  }
  const auto add = [&](Field value) {
    found.push_back(config);
    found.back().*field = value;
  };
  const auto above = values.upper_bound(config.*field);
  const auto here = values.lower_bound(config.*field);
  if (here != values.begin()) add(*std::prev(here));
  if (above != values.end()) add(*above);
}

}  // namespace

std::span<const TuneConstraint> tune_constraints() { return kConstraints; }

RopeSpec tuned_kernel_spec(const RopeSpec& spec) { return kernel_specs(spec).front(); }

LaunchConfig default_config(const RopeSpec& spec, std::int64_t tokens) {
  const RopeSpec kernel_spec = tuned_kernel_spec(spec);
  return effective_config(kernel_spec, heuristic_config(kernel_spec, tokens));
}

std::vector<LaunchConfig> tune_space(const RopeSpec& spec, std::int64_t tokens,
                                     const DeviceClass& device_class,
                                     const std::optional<LaunchConfig>& incumbent) {
  TunePoint point{tuned_kernel_spec(spec), tokens, device_class, {}};
  std::vector<LaunchConfig> space;
  for (const LaunchConfig& config : all_configs()) {
    point.config = config;
    const bool valid = std::all_of(std::begin(kConstraints), std::end(kConstraints),
                                   [&](const TuneConstraint& rule) { return rule.holds(point); });
    if (valid) space.push_back(config);
  }
  const auto add = [&](const LaunchConfig& config) {
    if (std::find(space.begin(), space.end(), config) == space.end()) space.push_back(config);
  };
  add(default_config(spec, tokens));
  if (incumbent) add(*incumbent);
  return space;
}

std::vector<LaunchConfig> neighbours(const LaunchConfig& config,
                                     std::span<const LaunchConfig> space) {
  std::vector<LaunchConfig> found;
  add_steps(found, config, &LaunchConfig::block_threads, space);
  add_steps(found, config, &LaunchConfig::access_bytes, space);
  add_steps(found, config, &LaunchConfig::pairing, space);
  add_steps(found, config, &LaunchConfig::heads_per_thread, space);
  add_steps(found, config, &LaunchConfig::streaming_stores, space);
  return found;
}

bool share_kernel(const LaunchConfig& a, const LaunchConfig& b) noexcept {
  return a.access_bytes == b.access_bytes && a.pairing == b.pairing &&
         a.heads_per_thread == b.heads_per_thread && a.streaming_stores == b.streaming_stores;
}

}  // namespace ropejit
