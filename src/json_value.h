#ifndef ROPEJIT_SRC_JSON_VALUE_H_
#define ROPEJIT_SRC_JSON_VALUE_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ropejit {

/// One value of a JSON document that knows where it stands, so that every complaint about it names
/// the origin, the path, the value and the rule: `a.json: rope_scaling.factor = "8": must be a
/// number`. A cheap copyable reference; the document lives as long as its last value. Every member
/// that throws throws Error(invalid_argument).
class JsonValue {
 public:
  /// Reads a whole document; `origin` prefixes every message. Malformed text is refused with its
  /// line and column (in bytes, from 1), as are a key that an object has twice and more than 64
  /// levels.
  static JsonValue parse(std::string_view text, const std::string& origin);

  bool is_null() const noexcept;
  bool is_object() const noexcept;
  bool is_list() const noexcept;

  /// A member of an object; nothing if it is absent or null. Throws unless this is an object.
  std::optional<JsonValue> find(std::string_view key) const;
  /// The keys of an object, sorted.
  std::vector<std::string> keys() const;
  /// The elements of a list.
  std::vector<JsonValue> items() const;

  /// An integer written as one: 128.0 and 1e3 are refused, as is what an int cannot hold.
  int to_int() const;
  /// Any number.
  double to_double() const;
  bool to_bool() const;
  std::string to_text() const;

  const std::string& origin() const noexcept { return document_->origin; }
  /// `rope_scaling.factor`, `[1].head_dim`; empty for the document itself.
  const std::string& path() const noexcept { return path_; }
  /// `rope_scaling.factor = 8.0`, the value as ASCII JSON, cut if it is long.
  std::string describe() const;
  /// Throws `origin: describe(): rule`.
  [[noreturn]] void fail(std::string_view rule) const;

 private:
  struct Tree;  ///< the parser's own representation
  struct Document {
    std::string origin;
    std::shared_ptr<const Tree> tree;
  };
  JsonValue(std::shared_ptr<const Document> document, const void* node, std::string path);

  std::shared_ptr<const Document> document_;
  const void* node_;  ///< the parser's node, inside document_->tree
  std::string path_;
};

}  // namespace ropejit

#endif  // ROPEJIT_SRC_JSON_VALUE_H_
