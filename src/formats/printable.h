// Makes names from files safe for error messages.
#pragma once

#include <string>
#include <string_view>

namespace kvpress {

/// `name` on one line of limited length: control characters and bytes that are not printable UTF-8 become '?', and a
/// long name is truncated. Files may contain names of any content and length.
std::string printable(std::string_view name);

}  // namespace kvpress
