// Escaping of external text and data for HTML pages: none of it can become markup.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kvpress {

/// Text escaped for an element or a quoted attribute.
std::string html_text(std::string_view text);

/// JSON text for a <script> element: characters that could end the element or begin another are escaped, as \u003c.
std::string json_for_script(std::string_view json);

/// The page with each @NAME@ replaced by its value. Values are not searched for further names.
std::string filled(std::string_view page, const std::vector<std::pair<std::string_view, std::string>>& values);

/// Text as valid UTF-8, which JSON and pages require: invalid bytes become U+FFFD.
std::string valid_utf8(std::string_view text);

}  // namespace kvpress
