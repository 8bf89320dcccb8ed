#include "src/model_scaling.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "ropejit/error.h"

namespace ropejit {
namespace {

constexpr std::string_view kTypes[] = {"rope_type", "type"};

/// What a scaling is called, and what its object may hold beside its name, the base and the share
/// of the head that rotates. `read` shapes the frequencies; `told` is information only, found in
/// published files: the context before the stretch, whether the model was trained after it.
struct ScalingFields {
  std::string_view type;
  Scaling scaling;
  std::vector<std::string_view> read;
  std::vector<std::string_view> told;
};

constexpr std::string_view kOriginal = "original_max_position_embeddings";

// As transformers' modeling_rope_utils checks them.
const std::vector<ScalingFields>& scaling_fields() {
  static const std::vector<ScalingFields> fields = {
      {"default", Scaling::none, {"factor"}, {}},
      {"linear", Scaling::linear, {"factor"}, {kOriginal}},
      {"ntk", Scaling::ntk, {"factor"}, {kOriginal}},
      {"dynamic", Scaling::dynamic_ntk, {"factor", kOriginal}, {}},
      {"yarn",
       Scaling::yarn,
       {"factor", kOriginal, "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate"},
       {"finetuned"}},
      {"longrope",
       Scaling::longrope,
       {"short_factor", "long_factor", "factor", kOriginal, "attention_factor"},
       {}},
      {"llama3", Scaling::llama3, {"factor", "low_freq_factor", "high_freq_factor", kOriginal}, {}},
      {"proportional", Scaling::proportional, {"factor"}, {kOriginal}},
  };
  return fields;
}

const ScalingFields* find_type(std::string_view type) {
  for (const ScalingFields& fields : scaling_fields()) {
    if (fields.type == type) return &fields;
  }
  return nullptr;
}

/// `su` is what longrope was called at first.
std::string type_of(const JsonValue& value) {
  const std::string type = value.to_text();
  return type == "su" ? "longrope" : type;
}

std::optional<Field<std::string>> read_type(const std::vector<JsonValue>& objects) {
  return agreed(find_all(objects, kTypes), type_of);
}

template <typename Container>
bool contains(const Container& words, std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

/// Refuses what the scaling would ignore.
void check_fields(const std::vector<JsonValue>& objects, const ScalingFields& fields, bool named) {
  for (const JsonValue& object : objects) {
    for (const std::string& key : object.keys()) {
      const auto member = object.find(key);
      if (!member || contains(kTypes, key)) continue;
      if (contains(kTheta, key) || contains(kPartialFactor, key)) continue;
      if (!named) member->fail("needs " + object.path() + ".rope_type, which is missing");
      if (contains(fields.read, key) || contains(fields.told, key)) continue;
      member->fail(fmt::format("is no field of rope_type {}; its fields: {}", fields.type,
                               fmt::join(fields.read, ", ")));
    }
  }
}

/// The fields of one scaling.
class Reader {
 public:
  explicit Reader(const ScalingSource& source) : source_(source) {}

  template <typename Read>
  auto find(std::string_view key, Read as) const {
    const std::string_view spelling[] = {key};
    return agreed(find_all(source_.objects, spelling), as);
  }
  std::optional<Field<double>> number(std::string_view key) const {
    return find(key, &JsonValue::to_double);
  }
  void read(std::string_view key, double& value) const {
    if (const auto field = number(key)) value = field->value;
  }
  void read(std::string_view key, std::optional<double>& value) const {
    if (const auto field = number(key)) value = field->value;
  }
  double required(std::string_view key) const {
    const auto field = number(key);
    if (!field) missing(key);
    return field->value;
  }
  std::vector<double> required_list(std::string_view key) const {
    const auto field = find(key, [](const JsonValue& value) {
      std::vector<double> list;
      for (const JsonValue& item : value.items()) list.push_back(item.to_double());
      return list;
    });
    if (!field) missing(key);
    return field->value;
  }
  /// The context before the stretch, from the objects or beside them (Phi-3).
  std::optional<Field<int>> original() const {
    std::vector<JsonValue> places = source_.objects;
    places.push_back(source_.config->text);
    const std::string_view spelling[] = {kOriginal};
    const auto field = agreed(find_all(places, spelling), &JsonValue::to_int);
    if (field && field->value < 1) field->source.fail("must be at least 1");
    return field;
  }
  [[noreturn]] void missing(std::string_view key, std::string_view or_else = "") const {
    refuse(*source_.config,
           fmt::format("{}.{}: missing; {} needs it{}", source_.objects.front().path(), key,
                       scaling_name(source_.objects), or_else));
  }
  std::int64_t max_position_embeddings() const { return source_.max_position_embeddings; }

 private:
  const ScalingSource& source_;
};

std::int64_t original_or_max(const Reader& reader) {
  if (const auto original = reader.original()) return original->value;
  if (reader.max_position_embeddings() == 0) {
    reader.missing(kOriginal, ", or max_position_embeddings outside of it");
  }
  return reader.max_position_embeddings();
}

/// How much longer max_position_embeddings is than the context before the stretch.
double stretch(const Reader& reader, std::int64_t original) {
  const std::int64_t longest = reader.max_position_embeddings();
  if (longest == 0) reader.missing("factor", ", or max_position_embeddings");
  if (longest < original) {
    reader.missing("factor", fmt::format(" where max_position_embeddings ({}) is below {} ({})",
                                         longest, kOriginal, original));
  }
  return static_cast<double>(longest) / static_cast<double>(original);
}

// transformers' own context is max_position_embeddings, whatever the object says.
void read_dynamic(const Reader& reader, RotaryParameters& p) {
  p.factor = reader.required("factor");
  p.original_max_position_embeddings = original_or_max(reader);
  const auto original = reader.original();
  const std::int64_t longest = reader.max_position_embeddings();
  if (original && longest != 0 && original->value != longest) {
    original->source.fail(fmt::format(
        "contradicts max_position_embeddings = {}, beyond which dynamic stretches", longest));
  }
}

// Where the factor is there, it counts: published recipes stretch by 4 without changing
// max_position_embeddings.
void read_yarn(const Reader& reader, RotaryParameters& p) {
  const auto factor = reader.number("factor");
  if (!factor && !reader.original()) {
    reader.missing("factor", fmt::format(", or {}", kOriginal));
  }
  p.original_max_position_embeddings = original_or_max(reader);
  p.factor = factor ? factor->value : stretch(reader, p.original_max_position_embeddings);
  reader.read("attention_factor", p.attention_factor);
  reader.read("beta_fast", p.beta_fast);
  reader.read("beta_slow", p.beta_slow);
  reader.read("mscale", p.mscale);
  reader.read("mscale_all_dim", p.mscale_all_dim);
  if (const auto truncate = reader.find("truncate", &JsonValue::to_bool)) {
    p.truncate = truncate->value;
  }
  reader.find("finetuned", &JsonValue::to_bool);
}

/// Versions of transformers differ in which of the two they take, so both have to say the same.
void check_longrope_factor(const Reader& reader, const Field<double>& factor,
                           std::int64_t original) {
  const std::int64_t longest = reader.max_position_embeddings();
  if (longest == 0) return;
  const double ratio = static_cast<double>(longest) / static_cast<double>(original);
  if (std::abs(factor.value - ratio) <= 1e-6 * ratio) return;
  factor.source.fail(fmt::format("contradicts max_position_embeddings / {} = {} / {}", kOriginal,
                                 longest, original));
}

void read_longrope(const Reader& reader, RotaryParameters& p) {
  p.short_factor = reader.required_list("short_factor");
  p.long_factor = reader.required_list("long_factor");
  p.original_max_position_embeddings = original_or_max(reader);
  reader.read("attention_factor", p.attention_factor);
  const auto factor = reader.number("factor");
  if (factor) check_longrope_factor(reader, *factor, p.original_max_position_embeddings);
  if (factor) {
    p.factor = factor->value;
  } else if (!p.attention_factor) {
    p.factor = stretch(reader, p.original_max_position_embeddings);
  }
}

void read_llama3(const Reader& reader, RotaryParameters& p) {
  p.factor = reader.required("factor");
  p.low_freq_factor = reader.required("low_freq_factor");
  p.high_freq_factor = reader.required("high_freq_factor");
  const auto original = reader.original();
  if (!original) reader.missing(kOriginal);
  p.original_max_position_embeddings = original->value;
}

/// A factor without a scaling that would use it.
void check_no_factor(const Reader& reader) {
  const auto factor = reader.number("factor");
  if (factor && factor->value != 1.0) factor->source.fail("contradicts rope_type = default");
}

void read_fields(const Reader& reader, RotaryParameters& p) {
  switch (p.scaling) {
    case Scaling::none:
      return check_no_factor(reader);
    case Scaling::linear:
    case Scaling::ntk:
      p.factor = reader.required("factor");
      break;
    case Scaling::proportional:
      reader.read("factor", p.factor);
      break;
    case Scaling::dynamic_ntk:
      return read_dynamic(reader, p);
    case Scaling::yarn:
      return read_yarn(reader, p);
    case Scaling::longrope:
      return read_longrope(reader, p);
    case Scaling::llama3:
      return read_llama3(reader, p);
  }
  reader.original();  // told, and therefore an integer
}

}  // namespace

std::optional<Scaling> find_scaling(const std::vector<JsonValue>& objects) {
  const auto type = read_type(objects);
  if (!type) return Scaling::none;
  const ScalingFields* fields = find_type(type->value);
  if (fields == nullptr) return std::nullopt;
  return fields->scaling;
}

std::string scaling_name(const std::vector<JsonValue>& objects) {
  const auto type = read_type(objects);
  if (!type) return "rope_type = default";
  return fmt::format("{} = {}", type->source.path(), type->source.to_text());
}

std::string supported_scalings() {
  std::vector<std::string_view> types;
  for (const ScalingFields& fields : scaling_fields()) types.push_back(fields.type);
  return fmt::format("{}", fmt::join(types, ", "));
}

void read_scaling(const ScalingSource& source, RotaryParameters& p) {
  const auto type = read_type(source.objects);
  const ScalingFields* fields = find_type(type ? type->value : "default");
  p.scaling = fields->scaling;
  check_fields(source.objects, *fields, type.has_value());
  read_fields(Reader(source), p);
  try {
    validate(p);
  } catch (const Error& error) {
    const bool inside = !source.objects.empty();
    refuse(*source.config, fmt::format("{}{}{}", inside ? source.objects.front().path() : "",
                                       inside ? ": " : "", error.what()));
  }
}

}  // namespace ropejit
