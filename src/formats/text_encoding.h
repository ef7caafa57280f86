// What texts are encoded in: UTF-8, or something that must be told.
#pragma once

#include <string>
#include <string_view>

namespace kvpress {

/// The text without a byte order mark. Warns, with `path` and the place, of bytes that are not UTF-8, which are read as
/// U+FFFD. Throws Error with `path` for UTF-16 and UTF-32.
std::string_view checked_utf8(std::string_view text, const std::string& path);

/// Throws Error with `path` if a text that begins so is UTF-16 or UTF-32: by its byte order mark, or by its many zeros.
void refuse_utf16(std::string_view beginning, const std::string& path);

}  // namespace kvpress
