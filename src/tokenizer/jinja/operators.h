// Python's operators on values.
#pragma once

#include <optional>
#include <string_view>

#include "tokenizer/jinja/runtime.h"

namespace kvpress::jinja {

/// `operation`: + - * / // % **
Value arithmetic(Runtime& runtime, std::string_view operation, const Value& left, const Value& right);
/// `operation`: + -
Value signed_value(std::string_view operation, const Value& value);
/// `operation`: == != < <= > >= in notin
bool compare(Runtime& runtime, std::string_view operation, const Value& left, const Value& right);

bool is_equal(Runtime& runtime, const Value& left, const Value& right);
/// Raises a Problem where Python cannot order them.
bool is_less(Runtime& runtime, const Value& left, const Value& right);
bool contains(Runtime& runtime, const Value& container, const Value& value);

/// `value[key]` of a dict, list or text; false if there is none.
bool find_item(Runtime& runtime, const Value& value, const Value& key, Value& found);
/// The value of a text key; null if there is none.
const Value* find_item(Runtime& runtime, const Dict& dict, std::string_view key);
const Value* find_item(Runtime& runtime, const Dict& dict, const Value& key);
/// Sets the value of a key that is hashable.
void set_item(Runtime& runtime, std::vector<std::pair<Value, Value>>& items, Value key, Value value);
/// `value[begin:end:step]`; what is not given is null or None.
Value slice_of(Runtime& runtime, const Value& value, const Value* begin, const Value* end, const Value* step);
/// len()
std::int64_t length_of(const Value& value);
/// `text` as often; raises before it takes memory.
Value repeated(Runtime& runtime, const Value& value, std::int64_t times);

}  // namespace kvpress::jinja
