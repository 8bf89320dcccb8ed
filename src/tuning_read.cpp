// The reading half of tuning_file.h.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <map>
#include <tuple>
#include <utility>

#include "ropejit/error.h"
#include "src/json_fields.h"
#include "src/json_value.h"
#include "src/text.h"
#include "src/token_bucket.h"
#include "src/tuning_file.h"

namespace ropejit {
namespace {

constexpr auto kFileKeys = std::to_array<std::string_view>({"schema", "runs"});
constexpr auto kRunKeys =
    std::to_array<std::string_view>({"device_class", "aliases", "provenance", "specs"});
constexpr auto kDeviceClassKeys =
    std::to_array<std::string_view>({"major", "minor", "sm_count", "l2_bytes"});
constexpr auto kProvenanceKeys =
    std::to_array<std::string_view>({"device", "driver", "compiler", "ropejit", "date", "command"});
constexpr auto kGroupKeys = std::to_array<std::string_view>({"spec", "entries"});
constexpr auto kSpecKeys =
    std::to_array<std::string_view>({"head_dim", "rotary_dim", "dtype", "layout", "q_heads",
                                     "kv_heads", "positions", "angles", "alignment"});
constexpr auto kEntryKeys =
    std::to_array<std::string_view>({"tokens", "samples", "chosen", "default"});
constexpr auto kMeasuredKeys = std::to_array<std::string_view>({"config", "us", "low", "high"});
constexpr auto kConfigKeys = std::to_array<std::string_view>(
    {"block_threads", "access_bytes", "pairing", "heads_per_thread", "streaming_stores"});

int at_least(int least, const JsonValue& value) {
  const int number = value.to_int();
  if (number < least) value.fail(fmt::format("must be at least {}", least));
  return number;
}

DeviceClass read_device_class(const JsonValue& object) {
  check_keys(object, kDeviceClassKeys);
  const auto field = [&](std::string_view key) { return require(object, key, "a device class"); };
  DeviceClass device_class;
  device_class.major = at_least(1, field("major"));
  device_class.minor = at_least(0, field("minor"));
  device_class.sm_count = at_least(1, field("sm_count"));
  device_class.l2_bytes = at_least(0, field("l2_bytes"));
  return device_class;
}

/// Whether `text` is like `2026-01-31T12:00:00Z`: of its shape, so that dates compare as texts.
bool is_date(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00Z";
  return text.size() == kShape.size() &&
         std::equal(text.begin(), text.end(), kShape.begin(), [](char c, char shape) {
           return shape == '0' ? c >= '0' && c <= '9' : c == shape;
         });
}

TuningProvenance read_provenance(const JsonValue& object) {
  check_keys(object, kProvenanceKeys);
  const auto text = [&](std::string_view key) {
    return require(object, key, "a provenance").to_text();
  };
  TuningProvenance provenance{text("device"),  text("driver"), text("compiler"),
                              text("ropejit"), text("date"),   text("command")};
  if (!is_date(provenance.date)) {
    object.find("date")->fail("must be a time of UTC such as 2026-01-31T12:00:00Z");
  }
  return provenance;
}

SpecClass read_spec_class(const JsonValue& object) {
  check_keys(object, kSpecKeys);
  const auto field = [&](std::string_view key) { return require(object, key, "a spec"); };
  RopeSpec spec;
  spec.head_dim = field("head_dim").to_int();
  spec.rotary_dim = at_least(2, field("rotary_dim"));  // 0, in a spec, would mean all of a head
  spec.dtype = to_enum(field("dtype"), parse_dtype);
  spec.layout = to_enum(field("layout"), parse_layout);
  spec.q_heads = field("q_heads").to_int();
  spec.kv_heads = field("kv_heads").to_int();
  spec.positions = to_enum(field("positions"), parse_position_mode);
  spec.angles = to_enum(field("angles"), parse_angle_source);
  spec.alignment = field("alignment").to_int();
  try {
    validate(spec);
  } catch (const Error& error) {
    throw Error(error.code(), prefix(object) + error.what());
  }
  return spec_class(spec);
}

LaunchConfig read_config(const JsonValue& object) {
  check_keys(object, kConfigKeys);
  const auto field = [&](std::string_view key) { return require(object, key, "a config"); };
  LaunchConfig config;
  config.block_threads = field("block_threads").to_int();
  config.access_bytes = field("access_bytes").to_int();
  config.pairing = to_enum(field("pairing"), parse_pairing);
  config.heads_per_thread = field("heads_per_thread").to_int();
  config.streaming_stores = field("streaming_stores").to_bool();
  return config;
}

MeasuredConfig read_measured(const JsonValue& object) {
  check_keys(object, kMeasuredKeys);
  const auto field = [&](std::string_view key) {
    return require(object, key, "a measured config");
  };
  const MeasuredConfig measured{read_config(field("config")), field("us").to_double(),
                                field("low").to_double(), field("high").to_double()};
  if (!(measured.low > 0)) field("low").fail("must be above 0");
  if (measured.low <= measured.us && measured.us <= measured.high) return measured;
  field("us").fail(
      fmt::format("must be within low and high, {} to {}", measured.low, measured.high));
}

TuningEntry read_entry(const JsonValue& object, const SpecClass& spec) {
  check_keys(object, kEntryKeys);
  const auto field = [&](std::string_view key) { return require(object, key, "an entry"); };
  TuningEntry entry;
  entry.spec = spec;
  const JsonValue tokens = field("tokens");
  const int count = tokens.to_int();
  entry.tokens = count;
  if (count < 1 || entry.tokens != bucket_tokens(token_bucket(count))) {
    tokens.fail(
        fmt::format("must be a power of two from 1 to {}", bucket_tokens(kTokenBuckets - 1)));
  }
  entry.samples = at_least(1, field("samples"));
  entry.chosen = read_measured(field("chosen"));
  if (const auto baseline = object.find("default")) entry.baseline = read_measured(*baseline);
  return entry;
}

/// Reads the runs, and sees to it that nothing is said twice.
class Reader {
 public:
  TuningRun read_run(const JsonValue& object) {
    check_keys(object, kRunKeys);
    const auto field = [&](std::string_view key) { return require(object, key, "a run"); };
    TuningRun run;
    run.device_class = read_device_class(field("device_class"));
    for (const JsonValue& alias : field("aliases").items()) {
      run.aliases.push_back(alias.to_text());
      if (run.aliases.back().empty()) alias.fail("must not be empty");
    }
    run.provenance = read_provenance(field("provenance"));
    for (const JsonValue& group : field("specs").items()) read_group(group, run);
    return run;
  }

 private:
  void read_group(const JsonValue& object, TuningRun& run) {
    check_keys(object, kGroupKeys);
    const SpecClass spec = read_spec_class(require(object, "spec", "a group of entries"));
    for (const JsonValue& item : require(object, "entries", "a group of entries").items()) {
      run.entries.push_back(read_entry(item, spec));
      const auto key = std::make_tuple(run.device_class, spec, run.entries.back().tokens);
      const auto [first, is_new] = seen_.emplace(key, item.path());
      if (!is_new) {
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("{}{} has this device class, spec and token count as well",
                                prefix(item), first->second));
      }
    }
  }

  std::map<std::tuple<DeviceClass, SpecClass, std::int64_t>, std::string> seen_;
};

}  // namespace

TuningFile parse_tuning_file(std::string_view json, const std::string& origin) {
  const JsonValue document = JsonValue::parse(json, origin);
  const JsonValue schema = require(document, "schema", "a tuned file");
  if (schema.to_int() != kTuningSchema) {
    schema.fail(fmt::format("must be {}, which this version of ropejit reads", kTuningSchema));
  }
  check_keys(document, kFileKeys);
  TuningFile file;
  Reader reader;
  for (const JsonValue& run : require(document, "runs", "a tuned file").items()) {
    file.runs.push_back(reader.read_run(run));
  }
  return file;
}

TuningFile load_tuning_file(const std::string& path) {
  return parse_tuning_file(read_text(path), path);
}

}  // namespace ropejit
