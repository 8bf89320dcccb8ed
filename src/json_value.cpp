#include "src/json_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "ropejit/error.h"

namespace ropejit {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxPrinted = 80;

const json& as_json(const void* node) { return *static_cast<const json*>(node); }

[[noreturn]] void refuse(const std::string& origin, std::string_view message) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: {}", origin, message));
}

/// ASCII only, so that cutting it never splits a character.
std::string printed(const json& value) {
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  if (text.size() > kMaxPrinted) text.replace(kMaxPrinted, std::string::npos, "...");
  return text;
}

/// `byte` counts from 1, as the parser reports it; one past the end for text that stops too early.
std::string line_and_column(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, byte == 0 ? 0 : byte - 1);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::size_t newline = before.rfind('\n');
  const std::size_t start = newline == std::string_view::npos ? 0 : newline + 1;
  return fmt::format("line {}, column {}", line, before.size() - start + 1);
}

/// The parser's own words, without the name and the position that it puts before them.
std::string_view reason(std::string_view what) {
  const std::size_t start = what.find("syntax error");
  if (start != std::string_view::npos) return what.substr(start);
  const std::size_t bracket = what.find("] ");
  return bracket == std::string_view::npos ? what : what.substr(bracket + 2);
}

/// Watches the parser: refuses a repeated key, of which it would silently keep the last, and a
/// nesting so deep that walking it could exhaust the stack.
class StructureCheck {
 public:
  explicit StructureCheck(const std::string& origin) : origin_(origin) {}

  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    if (depth > kMaxDepth) {
      refuse(origin_, fmt::format("nested deeper than {} levels", kMaxDepth));
    }
    if (event == json::parse_event_t::object_start) keys_.emplace_back();
    if (event == json::parse_event_t::object_end) keys_.pop_back();
    if (event == json::parse_event_t::key &&
        !keys_.back().insert(parsed.get<std::string>()).second) {
      refuse(origin_, fmt::format("{}: this key stands twice in one object", printed(parsed)));
    }
    return true;
  }

 private:
  const std::string& origin_;
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

struct JsonValue::Tree {
  json root;
};

JsonValue::JsonValue(std::shared_ptr<const Document> document, const void* node, std::string path)
    : document_(std::move(document)), node_(node), path_(std::move(path)) {}

JsonValue JsonValue::parse(std::string_view text, const std::string& origin) {
  auto tree = std::make_shared<Tree>();
  try {
    StructureCheck check(origin);
    tree->root = json::parse(text, std::ref(check));
  } catch (const json::parse_error& error) {
    refuse(origin, fmt::format("malformed JSON at {}: {}", line_and_column(text, error.byte),
                               reason(error.what())));
  } catch (const json::exception& error) {  // a number beyond a double
    refuse(origin, fmt::format("malformed JSON: {}", reason(error.what())));
  }
  const json* root = &tree->root;
  auto document = std::make_shared<const Document>(Document{origin, std::move(tree)});
  return JsonValue(std::move(document), root, "");
}

bool JsonValue::is_null() const noexcept { return as_json(node_).is_null(); }
bool JsonValue::is_object() const noexcept { return as_json(node_).is_object(); }
bool JsonValue::is_list() const noexcept { return as_json(node_).is_array(); }

std::optional<JsonValue> JsonValue::find(std::string_view key) const {
  if (!is_object()) fail("must be an object");
  const auto member = as_json(node_).find(std::string(key));
  if (member == as_json(node_).end() || member->is_null()) return std::nullopt;
  std::string path = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  return JsonValue(document_, &*member, std::move(path));
}

std::vector<std::string> JsonValue::keys() const {
  if (!is_object()) fail("must be an object");
  std::vector<std::string> keys;
  for (const auto& [key, value] : as_json(node_).items()) keys.push_back(key);
  return keys;
}

std::vector<JsonValue> JsonValue::items() const {
  if (!is_list()) fail("must be a list");
  std::vector<JsonValue> items;
  for (const json& item : as_json(node_)) {
    items.push_back(JsonValue(document_, &item, fmt::format("{}[{}]", path_, items.size())));
  }
  return items;
}

int JsonValue::to_int() const {
  const json& value = as_json(node_);
  using Limits = std::numeric_limits<int>;
  const bool fits = value.is_number_unsigned()
                        ? value.get<std::uint64_t>() <= std::uint64_t{Limits::max()}
                        : value.is_number_integer() && value.get<std::int64_t>() >= Limits::min();
  if (!fits) fail("must be an integer that 32 bits can hold, without fraction or exponent");
  return value.get<int>();
}

double JsonValue::to_double() const {
  if (!as_json(node_).is_number()) fail("must be a number");
  return as_json(node_).get<double>();
}

bool JsonValue::to_bool() const {
  if (!as_json(node_).is_boolean()) fail("must be true or false");
  return as_json(node_).get<bool>();
}

std::string JsonValue::to_text() const {
  if (!as_json(node_).is_string()) fail("must be a string");
  return as_json(node_).get<std::string>();
}

std::string JsonValue::describe() const {
  if (path_.empty()) return printed(as_json(node_));
  return fmt::format("{} = {}", path_, printed(as_json(node_)));
}

void JsonValue::fail(std::string_view rule) const {
  refuse(origin(), fmt::format("{}: {}", describe(), rule));
}

}  // namespace ropejit
