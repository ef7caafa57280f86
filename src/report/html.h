// Text and data from outside on an HTML page: nothing in them can become markup.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kvpress {

/// Text for an element or a quoted attribute.
std::string html_text(std::string_view text);

/// JSON text for a <script> element: what could end the element or begin another is written as \u003c and the like.
std::string json_for_script(std::string_view json);

/// The page with each @NAME@ replaced by its value. What is filled in is not looked at again.
std::string filled(std::string_view page, const std::vector<std::pair<std::string_view, std::string>>& values);

/// Text as UTF-8: bytes that are none become U+FFFD. (JSON and pages take nothing else.)
std::string valid_utf8(std::string_view text);

}  // namespace kvpress
