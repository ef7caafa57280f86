// The break-even as a picture: time of context and answer against the full cache's, and what it costs in quality.
#pragma once

#include <filesystem>

#include "kvpress/report/breakeven_document.h"

namespace kvpress {

/// Left: time in % of the full cache's by the answer's length, a line for each press and ratio, solid where it was
/// measured and dotted where computed. Right: delta NLL with its interval by ratio, and the tolerance. A row a context.
/// Throws what write_picture() throws.
void write_break_even_picture(const BreakEvenReport& report, const std::filesystem::path& path);

}  // namespace kvpress
