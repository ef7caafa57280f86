// The trade-off between quality and cost as a picture: for each panel (data set, protocol, model) a row of plots of
// quality against ratio, cache size and time, with a line per press and the Pareto front marked.
#pragma once

#include <filesystem>
#include <vector>

#include "report/documents/run_rows.h"

namespace kvpress {

/// Writes a PNG and an SVG; an empty path is skipped. Shows delta NLL or, if a panel has none, the first of
/// quality_measures(). Shows at most 12 panels and logs a note if there are more. Throws as write_picture().
void write_tradeoff(const std::vector<RunRow>& rows, const std::filesystem::path& path_png,
                    const std::filesystem::path& path_svg);

}  // namespace kvpress
