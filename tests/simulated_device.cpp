#include "tests/simulated_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "tools/tune_run.h"

namespace ropejit {
namespace {

/// From 0 to 1, by the text alone (FNV-1a, finished as MurmurHash3 does).
double hashed(std::string_view text) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
  hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
  return static_cast<double>((hash ^ hash >> 33) >> 11) * 0x1p-53;
}

/// 0 where the field is at its best, growing with the distance in steps of doubling.
double distance(double value, double best) { return std::abs(std::log2(value / best)); }

}  // namespace

double simulated_us(const RopeSpec& spec, std::int64_t tokens, const LaunchConfig& config) {
  const std::string shape = fmt::format("{} {}", describe(spec), name(config.pairing));
  const double many = std::clamp(std::log2(static_cast<double>(tokens)) / 13, 0.0, 1.0);
  const double bytes =
      4.0 * static_cast<double>(tokens) * (spec.q_heads + spec.kv_heads) * spec.head_dim;
  const double threads = 96 + 160 * hashed(shape) * many;
  const double access = 4 + 6 * many;
  const double heads = 4 - (2 + hashed(describe(spec))) * many;
  const double exchange = config.pairing == Pairing::exchange ? 0.03 * (0.7 - many) : 0.0;
  const double factor = 1 + 0.03 * distance(config.block_threads, threads) +
                        0.05 * distance(config.access_bytes, access) +
                        0.03 * distance(config.heads_per_thread, heads) + exchange;
  const std::string exact = fmt::format("{} {} {}", describe(spec), tokens, describe(config));
  return (1 + bytes / 4.2e6) * factor * (1 + 0.01 * hashed(exact)) *
         (config.streaming_stores ? 1.02 - 0.03 * many : 1);
}

double simulated_best_us(const TuneCell& cell, std::span<const LaunchConfig> space) {
  double best = std::numeric_limits<double>::infinity();
  for (const LaunchConfig& config : space) {
    best = std::min(best, simulated_us(cell.spec, cell.tokens, config));
  }
  return best;
}

std::vector<LaunchConfig> SimulatedMeasurer::space(const TuneCell& cell) {
  return tune_space(cell.spec, cell.tokens, kSimulatedClass);
}

std::vector<Vetting> SimulatedMeasurer::vet(const TuneCell& /*cell*/,
                                            std::span<const LaunchConfig> configs) {
  std::vector<Vetting> vettings;
  for (const LaunchConfig& config : configs) {
    vettings.push_back(verdict ? verdict(config) : Vetting{});
  }
  return vettings;
}

std::vector<CallTimes> SimulatedMeasurer::measure(const TuneCell& cell,
                                                  std::span<const LaunchConfig> configs) {
  if (before_round) before_round(cell, configs);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  std::exponential_distribution<double> exponential;
  const auto sample = [&](double us) {
    us *= level_ * std::exp(noise_.spread * normal(random_));
    if (uniform(random_) < noise_.outliers) us *= 1 + noise_.outlier_excess * exponential(random_);
    return us;
  };
  level_ *= std::exp(noise_.drift * normal(random_));
  std::vector<CallTimes> times;
  for (const LaunchConfig& config : configs) {
    const double us = simulated_us(cell.spec, cell.tokens, config);
    times.push_back({sample(us), sample(us * 0.98)});
    timed.push_back(config);
  }
  first_of_round.push_back(configs.empty() ? "" : describe(configs.front()));
  ++rounds;
  return times;
}

TuneCell simulated_cell(int shape, std::int64_t tokens) {
  TuneCell cell;
  cell.spec.head_dim = 128;
  cell.spec.q_heads = 32 + shape;
  cell.spec.kv_heads = 8;
  cell.frequencies = default_frequencies(128, 10000);
  cell.tokens = tokens;
  return cell;
}

Recording simulated_recording(int shapes, const std::vector<std::int64_t>& tokens,
                              const SearchOptions& options) {
  std::vector<TuneCell> cells;
  for (int shape = 0; shape < shapes; ++shape) {
    for (const std::int64_t count : tokens) cells.push_back(simulated_cell(shape, count));
  }
  Recording origin;
  origin.device_class = kSimulatedClass;
  origin.provenance = {"Made-up device",       "CUDA 13.0",   "NVRTC 13.0", "0.1.0 (test)",
                       "2026-01-31T12:00:00Z", "ropejit tune"};
  SimulatedMeasurer device(1);
  return tune(cells, device, origin, options, false, [](const TuneStep&) {});
}

}  // namespace ropejit
