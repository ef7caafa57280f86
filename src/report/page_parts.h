// The files of src/report/page/ as the build puts them into the library (cmake/embed.cmake).
#pragma once

#include <string_view>

namespace kvpress {

/// The content of "report.html", "plot.js", ...; empty for a name that is not there.
std::string_view page_part(std::string_view name);

}  // namespace kvpress
