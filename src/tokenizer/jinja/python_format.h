// Python's two ways to fill values into a text: "%s and %d" % values, and "{} and {name}".format(values).
#pragma once

#include <string>
#include <string_view>

#include "tokenizer/jinja/runtime.h"

namespace kvpress::jinja {

/// `values`: a tuple, a dict for "%(name)s", or a single value.
std::string percent_format(Runtime& runtime, std::string_view format, const Value& values);
std::string brace_format(Runtime& runtime, std::string_view format, const Arguments& arguments);

}  // namespace kvpress::jinja
