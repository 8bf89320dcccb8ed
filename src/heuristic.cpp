#include "src/heuristic.h"

#include <algorithm>

#include "src/source.h"

namespace ropejit {
namespace {

/// Up to here a call is too short to fill a large device, and what counts is how soon its last
/// thread is done.
constexpr std::int64_t kFewTokens = 1024;

/// Bytes that a block of a short call should move: more leave multiprocessors without a block,
/// fewer make more blocks to start, which dependent launches wait for.
constexpr int kBlockBytes = 4096;

/// Bytes that a thread of a long call should move: fewer leave it to the index arithmetic to keep
/// up with memory, more make too few threads.
constexpr int kThreadBytes = 16;

int bytes_of_one_head(const RopeSpec& spec, const LaunchConfig& config) {
  const int bytes = geometry(spec, config).rotary_bytes;
  return spec.layout == Layout::sequential
             ? 2 * bytes
             : std::max(bytes, 2 * static_cast<int>(size_of(spec.dtype)));
}

}  // namespace

LaunchConfig heuristic_config(const RopeSpec& spec, std::int64_t tokens) {
  if (tokens <= kFewTokens) {
    // Few pairs in a thread, whose sines are the last thing to be ready, for several heads.
    LaunchConfig config = {128, 2 * static_cast<int>(size_of(spec.dtype)), Pairing::registers, 4};
    const int thread_bytes = bytes_of_one_head(spec, config) * config.heads_per_thread;
    config.block_threads = std::clamp(kBlockBytes / thread_bytes, 64, 256);
    return config;
  }
  if (spec.angles == AngleSource::exact && spec.rotary() < spec.head_dim) {
    // Rotary part and rest of a head are moved by different threads, each best in wide pieces that
    // lie side by side.
    return {128, 16, spec.layout == Layout::sequential ? Pairing::exchange : Pairing::registers, 2};
  }
  LaunchConfig config = {192, 8, Pairing::registers, 1};
  int thread_bytes = kThreadBytes;
  if (spec.angles == AngleSource::table) {
    // Cosines and sines are twice what the pairs of one head are, and loads like theirs: wide ones
    // are fewer.
    config.block_threads = 128;
    config.access_bytes = 16;
    thread_bytes *= 2;
  }
  config.heads_per_thread = std::clamp(thread_bytes / bytes_of_one_head(spec, config), 1, 4);
  return config;
}

}  // namespace ropejit
