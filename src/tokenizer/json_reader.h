// Reads the fields of tokenizer.json's parts; every error names the file.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "formats/printable.h"
#include "kvpress/base/error.h"

namespace kvpress {

class JsonReader {
 public:
  explicit JsonReader(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }

  /// Null when absent.
  static const nlohmann::json& field(const nlohmann::json& part, const char* name) {
    static const nlohmann::json kNull;
    const auto it = part.is_object() ? part.find(name) : part.end();
    return part.is_object() && it != part.end() ? *it : kNull;
  }
  std::string text(const nlohmann::json& part, const char* name, const std::string& of) const {
    const nlohmann::json& it = field(part, name);
    if (!it.is_string()) fail("{}: {}: {} must be a string", path_, of, name);
    return it.get<std::string>();
  }
  bool flag(const nlohmann::json& part, const char* name, bool fallback, const std::string& of) const {
    const nlohmann::json& it = field(part, name);
    if (it.is_null()) return fallback;
    if (!it.is_boolean()) fail("{}: {}: {} must be true or false", path_, of, name);
    return it.get<bool>();
  }
  /// What is there must be known: it could change the tokens.
  void allow(const nlohmann::json& part, const std::string& of, std::initializer_list<std::string_view> known) const {
    if (!part.is_object()) return;
    for (const auto& [key, value] : part.items()) {
      if (value.is_null() || std::find(known.begin(), known.end(), key) != known.end()) continue;
      fail("{}: {}{}{} is not known", path_, of, of.empty() ? "" : ": ", printable(key));
    }
  }
  [[noreturn]] void unknown(const std::string& of, std::string_view name, std::string_view known) const {
    fail("{}: {} '{}' is not supported; supported: {}", path_, of, printable(name), known);
  }

 private:
  std::string path_;
};

/// Calls visit(part) for the parts of a Sequence in `list`, and of those within it; for anything else, for itself.
template <typename Visit>
void for_each_part(const JsonReader& reader, const nlohmann::json& part, const std::string& of, const char* list,
                   Visit visit) {
  if (part.is_null()) return;
  if (reader.text(part, "type", of) != "Sequence") {
    visit(part);
    return;
  }
  reader.allow(part, of + ": Sequence", {"type", list});
  const nlohmann::json& parts = JsonReader::field(part, list);
  if (!parts.is_array()) fail("{}: {}: {} must be an array", reader.path(), of, list);
  for (const nlohmann::json& it : parts) for_each_part(reader, it, of, list, visit);
}

}  // namespace kvpress
