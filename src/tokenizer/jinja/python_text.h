// How Python prints values: str(), repr() and json.dumps().
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/jinja/runtime.h"

namespace kvpress::jinja {

std::string repr(Runtime& runtime, const Value& value);
/// str(): texts as they are, undefined values as nothing.
std::string shown(Runtime& runtime, const Value& value);
/// The shortest digits that are read back as the same number, with a point or an exponent.
std::string repr_of_float(double value);

struct JsonStyle {
  bool ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;
  std::string item_separator;
  std::string key_separator;
};

std::string json_of(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace kvpress::jinja
