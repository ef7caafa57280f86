// The break-even length as a picture: time of context and answer relative to the full cache, and cost in quality.
#pragma once

#include <filesystem>

#include "report/documents/breakeven_document.h"

namespace kvpress {

/// Left: time in percent of the full cache's by answer length, a line for each press and ratio, solid where measured
/// and dotted where extrapolated. Right: delta NLL with its interval by ratio, and the tolerance. One row per context.
/// `path` is a .png or .svg. Throws as write_picture().
void write_break_even_picture(const BreakEvenReport& report, const std::filesystem::path& path);

}  // namespace kvpress
