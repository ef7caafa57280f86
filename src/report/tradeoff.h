// What quality costs, in one picture: a row of plots for each panel (data set, protocol, model), the quality against
// the ratio, the bytes of the cache and the time; a line a press, the Pareto front marked.
#pragma once

#include <filesystem>
#include <vector>

#include "kvpress/report/run_rows.h"

namespace kvpress {

/// Of the same script a PNG and an SVG; an empty path is left out. Shows the loss added, or where a panel has none the
/// first of quality_measures(). Beyond 12 panels the rest is left out with a note. Throws what write_picture() throws.
void write_tradeoff(const std::vector<RunRow>& rows, const std::filesystem::path& path_png,
                    const std::filesystem::path& path_svg);

}  // namespace kvpress
