// The files of src/report/page/, which the build embeds into the library (cmake/embed.cmake).
#pragma once

#include <string_view>

namespace kvpress {

/// The content of "report.html", "plot.js", ...; empty for an unknown name.
std::string_view page_part(std::string_view name);

}  // namespace kvpress
