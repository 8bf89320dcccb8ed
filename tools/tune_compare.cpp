#include "tools/tune_compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "src/token_bucket.h"
#include "src/tuning_table.h"

namespace ropejit {
namespace {

using Subject = std::pair<DeviceClass, SpecClass>;

std::set<Subject> subjects_of(const TuningFile& file) {
  std::set<Subject> subjects;
  for (const TuningRun& run : file.runs) {
    for (const TuningEntry& entry : run.entries) subjects.emplace(run.device_class, entry.spec);
  }
  return subjects;
}

/// By that file alone.
TuningTable table_of(const TuningFile& file) { return TuningTable({{"", file}}, {}); }

SpecAgreement compare_spec(const TuningTable& a, const TuningTable& b, const Subject& subject) {
  const auto& [device_class, spec_class] = subject;
  SpecAgreement agreement{device_class, spec_class, {}};
  const RopeSpec spec = spec_of(spec_class);
  const BucketConfigs by_a = a.configs(spec, device_class);
  const BucketConfigs by_b = b.configs(spec, device_class);
  for (std::size_t bucket = 0; bucket < by_a.size(); ++bucket) {
    if (by_a[bucket] == by_b[bucket]) continue;
    const std::int64_t tokens = bucket_tokens(static_cast<int>(bucket));
    agreement.differing.push_back({tokens, by_a[bucket], by_b[bucket]});
  }
  return agreement;
}

}  // namespace

std::size_t FileAgreement::buckets() const noexcept { return specs.size() * kTokenBuckets; }

std::size_t FileAgreement::same() const noexcept {
  std::size_t differing = 0;
  for (const SpecAgreement& spec : specs) differing += spec.differing.size();
  return buckets() - differing;
}

FileAgreement compare(const TuningFile& a, const TuningFile& b) {
  const std::set<Subject> of_a = subjects_of(a);
  const std::set<Subject> of_b = subjects_of(b);
  const TuningTable table_a = table_of(a);
  const TuningTable table_b = table_of(b);
  FileAgreement agreement;
  for (const Subject& subject : of_a) {
    if (of_b.contains(subject)) {
      agreement.specs.push_back(compare_spec(table_a, table_b, subject));
    } else {
      ++agreement.only_a;
    }
  }
  agreement.only_b = static_cast<std::size_t>(std::count_if(
      of_b.begin(), of_b.end(), [&](const Subject& subject) { return !of_a.contains(subject); }));
  return agreement;
}

std::string describe(const FileAgreement& agreement) {
  std::string text;
  for (const SpecAgreement& spec : agreement.specs) {
    for (const Disagreement& bucket : spec.differing) {
      text += fmt::format("{}, up to {} tokens: {} against {}\n", describe(spec.spec),
                          bucket.tokens, describe(bucket.a), describe(bucket.b));
    }
  }
  if (agreement.only_a + agreement.only_b > 0) {
    text += fmt::format("only in the first file: {} specs; only in the second: {}\n",
                        agreement.only_a, agreement.only_b);
  }
  const auto buckets = static_cast<double>(agreement.buckets());
  const double percent = buckets == 0 ? 100 : 100 * static_cast<double>(agreement.same()) / buckets;
  return text + fmt::format("the same config in {} of {} buckets ({:.1f}%) of {} spec{}",
                            agreement.same(), agreement.buckets(), percent, agreement.specs.size(),
                            agreement.specs.size() == 1 ? "" : "s");
}

}  // namespace ropejit
