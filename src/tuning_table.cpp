#include "src/tuning_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>
#include <utility>

#include "ropejit/error.h"
#include "src/driver.h"
#include "src/source.h"
#include "src/token_bucket.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

bool same_text(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

/// The file, if there is one that can be read; what is wrong with it goes to the log.
std::optional<TuningFile> load_if_there(const std::string& path, const RuntimeOptions& options) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (path.empty() || status.type() == fs::file_type::not_found) return std::nullopt;
  try {
    // A pipe, say, would be waited for.
    if (fs::exists(status) && !fs::is_regular_file(status)) {
      throw Error(ErrorCode::io, path + ": is not a regular file");
    }
    return load_tuning_file(path);
  } catch (const Error& problem) {
    if (options.log) options.log(fmt::format("tuned file ignored: {}", problem.what()));
  }
  return std::nullopt;
}

}  // namespace

DeviceClass device_class(const DeviceInfo& info) {
  return {info.major, info.minor, info.sm_count, info.l2_bytes};
}

TuningTable::TuningTable(std::vector<TuningLayer> layers, std::span<const ShippedRun> shipped) {
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    for (TuningRun& run : layers[layer].file.runs) {
      owned_.push_back(std::move(run.entries));
      sections_.push_back(
          {layers[layer].name, layer, run.device_class, std::move(run.aliases), owned_.back()});
    }
  }
  for (const ShippedRun& run : shipped) {
    sections_.push_back({fmt::format("shipped {}", run.file),
                         layers.size(),
                         run.device_class,
                         {run.aliases.begin(), run.aliases.end()},
                         run.entries});
  }
}

TuningTable TuningTable::load(const RuntimeOptions& options) {
  std::vector<TuningLayer> layers;
  const auto add_if_there = [&](const std::string& path) {
    if (auto file = load_if_there(path, options)) layers.push_back({path, *std::move(file)});
  };
  if (options.tuned_file.empty()) {
    add_if_there(options.default_tuned_file);
  } else {
    layers.push_back({options.tuned_file, load_tuning_file(options.tuned_file)});
  }
  add_if_there(options.system_tuned_file);
  return TuningTable(std::move(layers), shipped_tuning());
}

BucketConfigs TuningTable::configs(const RopeSpec& spec, const DeviceClass& device_class) const {
  const std::vector<TuningCandidate> candidates =
      find_candidates(sections_, spec_class(spec), device_class);
  const RopeSpec kernel_spec = kernel_specs(spec).front();
  BucketConfigs configs = heuristic_configs(spec);
  for (int bucket = 0; bucket < kTokenBuckets; ++bucket) {
    const TuningCandidate* best = best_of(candidates, bucket);
    if (best == nullptr) continue;
    configs[static_cast<std::size_t>(bucket)] =
        effective_config(kernel_spec, best->entry->chosen.config);
  }
  return configs;
}

KernelPlan TuningTable::plan(const RopeSpec& spec, const DeviceClass& device_class) const {
  return plan_kernels(spec, configs(spec, device_class));
}

std::vector<KernelPlan::Kernel> TuningTable::all_kernels(const RopeSpec& spec,
                                                         std::string_view arch) const {
  std::vector<KernelPlan::Kernel> all = plan_kernels(spec, heuristic_configs(spec)).kernels;
  for (const DeviceClass& known : device_classes()) {
    if (known.arch() != arch) continue;
    for (const KernelPlan::Kernel& kernel : plan(spec, known).kernels) {
      if (std::find(all.begin(), all.end(), kernel) == all.end()) all.push_back(kernel);
    }
  }
  return all;
}

ConfigChoice TuningTable::choose(const RopeSpec& spec, const DeviceClass& device_class,
                                 std::int64_t tokens) const {
  const std::vector<TuningCandidate> candidates =
      find_candidates(sections_, spec_class(spec), device_class);
  const int bucket = token_bucket(tokens);
  const TuningCandidate* best = best_of(candidates, bucket);
  const RopeSpec kernel_spec = kernel_specs(spec).front();
  ConfigChoice choice;
  choice.why = why(candidates, best, bucket);
  if (best == nullptr) {
    choice.config = heuristic_configs(spec)[static_cast<std::size_t>(bucket)];
    if (!knows(device_class)) {
      choice.why = fmt::format("no tuned file is for devices of class {}", describe(device_class));
    }
    return choice;
  }
  const TuningEntry& entry = *best->entry;
  choice.config = effective_config(kernel_spec, entry.chosen.config);
  choice.match = best->rank(bucket).match;
  choice.file = best->section->file;
  choice.measured = entry.chosen;
  choice.measured_default = entry.baseline;
  choice.measured_tokens = entry.tokens;
  choice.samples = entry.samples;
  return choice;
}

std::vector<DeviceClass> TuningTable::device_classes() const {
  std::vector<DeviceClass> classes;
  for (const TuningSection& section : sections_) {
    if (std::find(classes.begin(), classes.end(), section.device_class) == classes.end()) {
      classes.push_back(section.device_class);
    }
  }
  return classes;
}

bool TuningTable::knows(const DeviceClass& device_class) const {
  const std::vector<DeviceClass> classes = device_classes();
  return std::find(classes.begin(), classes.end(), device_class) != classes.end();
}

std::optional<DeviceClass> TuningTable::find_device_class(std::string_view alias) const {
  for (const TuningSection& section : sections_) {
    for (const std::string& name : section.aliases) {
      if (same_text(name, alias)) return section.device_class;
    }
  }
  return std::nullopt;
}

std::vector<std::string> TuningTable::aliases() const {
  std::vector<std::string> names;
  for (const TuningSection& section : sections_) {
    for (const std::string& name : section.aliases) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

}  // namespace ropejit
