// The files in serve/page/parts, of which the page of the server is made. cmake/embed.cmake makes strings of them.
#pragma once

#include <string_view>

namespace kvpress {

/// The text of a file there, by its name; empty if there is none.
std::string_view chat_page_part(std::string_view name);

}  // namespace kvpress
