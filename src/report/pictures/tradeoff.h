// The trade-off between quality and cost as a picture: for each panel (data set, protocol, model) a row of plots of
// quality against ratio, cache size and time, with a line per press and the Pareto front marked.
#pragma once

#include <filesystem>
#include <vector>

#include "report/documents/run_rows.h"
#include "report/pictures/gnuplot.h"

namespace kvpress {

/// Delta NLL or, if a panel has none, the first of quality_measures(), against ratio, size of the cache and time. Shows
/// at most 12 panels and logs a note if there are more. Throws Error if there are no rows.
Drawing tradeoff_drawing(const std::vector<RunRow>& rows);

/// Draws it as a PNG and an SVG; an empty path is skipped. Throws as write_picture().
void write_tradeoff(const std::vector<RunRow>& rows, const std::filesystem::path& path_png,
                    const std::filesystem::path& path_svg);

}  // namespace kvpress
