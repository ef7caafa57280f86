// The fields of a JSON object from a client: read with their types and ranges checked, errors naming the field.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress::serve {

using Json = nlohmann::ordered_json;  // templates see the fields of tools in the order of the client

/// The document of a body. Throws ApiError (400) for what is no JSON object: syntax, UTF-8, nesting.
Json parse_body(const std::string& body);

/// All throw ApiError (400) with the field's name for a wrong type or value. null is as good as absent.
class Fields {
 public:
  /// `path`: what the object is called, "" or "kvpress" or "messages[0]". The object must outlive this.
  Fields(const Json& object, std::string path);

  /// The field, or null if it is absent. It counts as known from here on.
  const Json* find(const std::string& name);
  std::optional<std::string> text(const std::string& name);
  std::string text(const std::string& name, const std::string& otherwise) { return text(name).value_or(otherwise); }
  bool boolean(const std::string& name, bool otherwise);
  double number(const std::string& name, double otherwise, double least, double most);
  std::optional<std::int64_t> integer(const std::string& name, std::int64_t least, std::int64_t most);
  std::int64_t integer(const std::string& name, std::int64_t otherwise, std::int64_t least, std::int64_t most) {
    return integer(name, least, most).value_or(otherwise);
  }
  /// A string, or a list of at most `most` strings, none of them empty.
  std::vector<std::string> texts(const std::string& name, std::size_t most);
  /// Fields that say nothing about the result.
  void ignore(std::initializer_list<const char*> names);
  /// A field that is only accepted with this value.
  void expect(const std::string& name, const Json& value, const std::string& why);

  /// Refuses fields that were not asked for.
  void refuse_others() const;
  std::string name_of(const std::string& field) const { return path_.empty() ? field : path_ + "." + field; }

 private:
  const Json& object_;
  std::string path_;
  std::vector<std::string> known_;
};

/// What a value is, for messages: "a string", "a list".
std::string_view kind_of(const Json& value);
/// An integer of JSON, also one written 1.0; empty for what is none or does not fit.
std::optional<std::int64_t> as_integer(const Json& value);

/// JSON in one line; bytes that are no UTF-8 become U+FFFD.
std::string dump(const Json& json);

}  // namespace kvpress::serve
