// Names out of files, fit for an error message.
#pragma once

#include <string>
#include <string_view>

namespace kvpress {

/// `name` on one line and no longer than a line: control bytes and bytes beyond ASCII that are not part of printable
/// UTF-8 become '?', a long name is cut. A file may claim any name, of any length.
std::string printable(std::string_view name);

}  // namespace kvpress
