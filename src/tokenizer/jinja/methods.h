// The methods of texts, lists, tuples and dicts.
#pragma once

#include <string_view>

#include "tokenizer/jinja/runtime.h"

namespace kvpress::jinja {

/// `value.name` as something to call; false if values of this type have no such method. Methods that would change the
/// value are undefined, as in jinja2's sandbox.
bool find_method(Runtime& runtime, const Value& value, std::string_view name, Value& found);

using Method = Value (*)(Runtime& runtime, const Value& self, const Arguments& arguments);
/// Null if there is none.
Method text_method(std::string_view name);
Method list_method(std::string_view name);
Method dict_method(std::string_view name);

/// str.replace(), at most `most` times if that is not negative; and str.ljust(), center(), rjust() (`share` 0, 1, 2).
Value replaced(Runtime& runtime, const Value& self, std::string_view from, std::string_view to, std::int64_t most);
Value justified(Runtime& runtime, const Value& self, std::int64_t width, std::string_view fill, int share);

}  // namespace kvpress::jinja
