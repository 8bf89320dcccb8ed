#include "tests/json_schema.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <stdexcept>

namespace ropejit {
namespace {

using nlohmann::json;

bool has_type(const json& value, const std::string& type) {
  static const std::map<std::string, std::function<bool(const json&)>> kTypes = {
      {"object", [](const json& v) { return v.is_object(); }},
      {"array", [](const json& v) { return v.is_array(); }},
      {"string", [](const json& v) { return v.is_string(); }},
      {"boolean", [](const json& v) { return v.is_boolean(); }},
      {"number", [](const json& v) { return v.is_number(); }},
      {"integer", [](const json& v) { return v.is_number_integer(); }},
  };
  return kTypes.at(type)(value);
}

class Validator {
 public:
  explicit Validator(json root) : root_(std::move(root)) {}

  std::vector<std::string> check(const json& value) {
    check(root_, value, "document");
    return std::move(violations_);
  }

 private:
  void require(bool holds, const std::string& path, const std::string& keyword, const json& rule) {
    if (!holds) violations_.push_back(path + ": " + keyword + " " + rule.dump());
  }

  void check(const json& schema, const json& value, const std::string& path) {
    for (const auto& [keyword, rule] : schema.items()) {
      if (!check_about(keyword) && !check_structure(schema, keyword, rule, value, path) &&
          !check_scalar(keyword, rule, value, path)) {
        throw std::logic_error("unknown keyword " + keyword);
      }
    }
  }

  static bool check_about(const std::string& keyword) {
    return keyword == "$schema" || keyword == "$defs" || keyword == "title" ||
           keyword == "description";
  }

  bool check_structure(const json& schema, const std::string& keyword, const json& rule,
                       const json& value, const std::string& path) {
    if (keyword == "$ref") {
      check(root_.at(json::json_pointer(rule.get<std::string>().substr(1))), value, path);
    } else if (keyword == "required") {
      for (const json& key : rule) {
        const bool there = !value.is_object() || value.contains(key.get<std::string>());
        require(there, path, "required", key);
      }
    } else if (keyword == "properties") {
      for (const auto& [key, sub] : rule.items()) {
        if (value.is_object() && value.contains(key)) check(sub, value.at(key), path + "." + key);
      }
    } else if (keyword == "additionalProperties") {
      if (rule != json(false)) throw std::logic_error("additionalProperties other than false");
      if (!value.is_object()) return true;
      for (const auto& [key, member] : value.items()) {
        require(schema.at("properties").contains(key), path + "." + key, keyword, rule);
      }
    } else if (keyword == "items") {
      for (std::size_t i = 0; value.is_array() && i < value.size(); ++i) {
        check(rule, value[i], path + "[" + std::to_string(i) + "]");
      }
    } else {
      return false;
    }
    return true;
  }

  bool check_scalar(const std::string& keyword, const json& rule, const json& value,
                    const std::string& path) {
    const double number = value.is_number() ? value.get<double>() : NAN;
    bool holds = true;
    if (keyword == "type") {
      holds = has_type(value, rule);
    } else if (keyword == "const") {
      holds = value == rule;
    } else if (keyword == "enum") {
      holds = std::find(rule.begin(), rule.end(), value) != rule.end();
    } else if (keyword == "minimum") {
      holds = !(number < rule.get<double>());
    } else if (keyword == "maximum") {
      holds = !(number > rule.get<double>());
    } else if (keyword == "exclusiveMinimum") {
      holds = !(number <= rule.get<double>());
    } else if (keyword == "multipleOf") {
      holds = !value.is_number_integer() || value.get<std::int64_t>() % rule.get<int>() == 0;
    } else if (keyword == "minLength") {
      holds = !value.is_string() || value.get<std::string>().size() >= rule.get<std::size_t>();
    } else if (keyword == "pattern") {
      holds = !value.is_string() ||
              std::regex_search(value.get<std::string>(), std::regex(rule.get<std::string>()));
    } else {
      return false;
    }
    require(holds, path, keyword, rule);
    return true;
  }

  json root_;
  std::vector<std::string> violations_;
};

}  // namespace

std::vector<std::string> schema_violations(const std::string& schema, const std::string& document) {
  return Validator(json::parse(schema)).check(json::parse(document));
}

}  // namespace ropejit
