#include "core/rotary.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <type_traits>

#include "core/array.h"
#include "ropejit/reference.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ropejit::python {
namespace {

Scaling parse_scaling(const std::string& text) {
  for (int i = 0; i <= static_cast<int>(Scaling::proportional); ++i) {
    if (name(static_cast<Scaling>(i)) == text) return static_cast<Scaling>(i);
  }
  value_error("rope_type = '" + text + "': is not known");
}

/// Every field but the scaling, by the name that transformers has for it.
template <class Parameters, class Visit>
void visit_fields(Parameters& p, Visit visit) {
  visit("rotary_dim", p.rotary_dim);
  visit("head_dim", p.head_dim);
  visit("rope_theta", p.theta);
  visit("factor", p.factor);
  visit("original_max_position_embeddings", p.original_max_position_embeddings);
  visit("attention_factor", p.attention_factor);
  visit("beta_fast", p.beta_fast);
  visit("beta_slow", p.beta_slow);
  visit("mscale", p.mscale);
  visit("mscale_all_dim", p.mscale_all_dim);
  visit("truncate", p.truncate);
  visit("low_freq_factor", p.low_freq_factor);
  visit("high_freq_factor", p.high_freq_factor);
  visit("short_factor", p.short_factor);
  visit("long_factor", p.long_factor);
}

/// All fields that differ from their default, so that texts of them stay short.
nb::dict fields_of(const RotaryParameters& parameters) {
  const RotaryParameters plain;
  nb::dict fields, defaults;
  visit_fields(plain, [&](const char* key, const auto& value) { defaults[key] = nb::cast(value); });
  fields["rope_type"] = std::string(name(parameters.scaling));
  visit_fields(parameters, [&](const char* key, const auto& value) {
    const nb::object field = nb::cast(value);
    if (!field.equal(defaults[key])) fields[key] = field;
  });
  return fields;
}

RotaryParameters from_fields(const nb::dict& fields) {
  RotaryParameters parameters;
  if (fields.contains("rope_type")) {
    parameters.scaling = parse_scaling(nb::cast<std::string>(fields["rope_type"]));
  }
  visit_fields(parameters, [&](const char* key, auto& value) {
    using Value = std::remove_reference_t<decltype(value)>;
    if (fields.contains(key)) value = nb::cast<Value>(fields[key]);
  });
  validate(parameters);
  return parameters;
}

/// Writes the rows of positions first, first + 1, ... of a table.
template <class Real>
void fill(const Frequencies& frequencies, std::int64_t first, const Array& cos, const Array& sin) {
  const nb::gil_scoped_release unlocked;
  const double factor = frequencies.attention_factor;
  for (std::int64_t row = 0; row < cos.shape(0); ++row) {
    for (std::int64_t pair = 0; pair < cos.shape(1); ++pair) {
      const CosSin angle =
          exact_cos_sin(frequencies.turns[static_cast<std::size_t>(pair)], first + row);
      static_cast<Real*>(cos.data())[row * cos.stride(0) + pair * cos.stride(1)] =
          static_cast<Real>(angle.cos * factor);
      static_cast<Real*>(sin.data())[row * sin.stride(0) + pair * sin.stride(1)] =
          static_cast<Real>(angle.sin * factor);
    }
  }
}

void fill_table(const RotaryParameters& parameters, const nb::object& cos_object,
                const nb::object& sin_object, std::int64_t first, std::int64_t length) {
  const Frequencies frequencies = make_frequencies(parameters, length);
  std::optional<Array> cos, sin;
  import_array(cos, cos_object, "cos", Access::write);
  import_array(sin, sin_object, "sin", Access::write);
  for (const auto* table : {&cos, &sin}) {
    if (!*table || (*table)->ndim() != 2 || device_of(**table) != kCpuDevice ||
        (*table)->shape(1) != static_cast<std::int64_t>(frequencies.turns.size())) {
      value_error("cos and sin: must be [rows, rotary_dim/2] on the CPU");
    }
  }
  if (cos->shape(0) != sin->shape(0)) value_error("sin: must have the shape of cos");
  if (cos->type() != sin->type()) type_error("sin: must have the dtype of cos");
  if (cos->type() == kFloat32) {
    fill<float>(frequencies, first, *cos, *sin);
  } else if (cos->type() == kFloat64) {
    fill<double>(frequencies, first, *cos, *sin);
  } else {
    type_error("cos: dtype " + cos->type_text() + ": must be float32 or float64");
  }
}

/// Plain data of a model's config, with a list of (name, Rotary).
nb::dict model_of(const std::string& json, const std::string& origin) {
  const ModelRope model = parse_model(json, origin);
  nb::dict result;
  result["model"] = model.model;
  result["head_dim"] = model.spec.head_dim;
  result["rotary_dim"] = model.spec.rotary();
  result["q_heads"] = model.spec.q_heads;
  result["kv_heads"] = model.spec.kv_heads;
  result["layout"] = std::string(name(model.spec.layout));
  result["layout_reason"] = model.layout_reason;
  result["max_position_embeddings"] = model.max_position_embeddings;
  nb::list sets;
  for (const RotarySet& set : model.rotary) sets.append(nb::make_tuple(set.name, set.parameters));
  result["rotary"] = sets;
  return result;
}

}  // namespace

std::int64_t effective_length(const RotaryParameters& parameters, std::int64_t length) {
  const bool matters =
      depends_on_length(parameters) && length > parameters.original_max_position_embeddings;
  if (!matters) return 0;
  // LongRoPE has two lists: all lengths beyond the trained context are alike.
  if (parameters.scaling == Scaling::longrope) {
    return parameters.original_max_position_embeddings + 1;
  }
  return length;
}

void bind_rotary(nb::module_& module) {
  nb::class_<RotaryParameters>(module, "Rotary", "What decides how fast each pair turns.")
      .def(nb::new_(&from_fields), "fields"_a)
      .def("fields", fields_of, "What the constructor takes.")
      .def_prop_ro("pairs",
                   [](const RotaryParameters& self) { return make_frequencies(self).turns.size(); })
      .def_prop_ro("depends_on_length", &depends_on_length)
      .def("fill_table", fill_table, "cos"_a, "sin"_a, "first"_a = 0, "length"_a = 0,
           "Writes cosines and sines of positions first, first + 1, ..., evaluated in double and "
           "times the attention factor, into float32 or float64 arrays [rows, rotary_dim/2] on the "
           "CPU.");
  module.def("parse_model", model_of, "json"_a, "origin"_a,
             "The rotary embedding of a Hugging Face config.json.");
}

}  // namespace ropejit::python
