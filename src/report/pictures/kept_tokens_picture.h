// The kept tokens of a text as a picture: one row per head, one column per token, drawn by gnuplot.
#pragma once

#include <filesystem>

#include "report/documents/kept_tokens_document.h"
#include "report/pictures/gnuplot.h"

namespace kvpress {

/// Share of kept tokens in each bin: by head, and over all heads.
struct KeptBins {
  std::int64_t bin = 1;                    ///< tokens per bin; the last may have fewer
  std::vector<std::vector<double>> heads;  ///< [layer * n_kv_heads + head][bin]
  std::vector<double> mean;                ///< [bin]
};
/// The smallest bins of which there are at most `most_bins`.
KeptBins binned(const KeptTokens& kept, std::int64_t most_bins);

/// Upper part: heads by layers (layer 0 on top) against positions in the text; lower part: the share of all heads. If
/// the text has more tokens than columns, a column stands for several tokens and its shade for the share that is kept.
/// `as_image`: the map is an image, as a PNG needs it; else it is made of rectangles.
Drawing kept_tokens_drawing(const KeptTokensRun& run, bool as_image);

/// Draws it. `path` is a .png or .svg. Throws as write_picture().
void write_kept_tokens_picture(const KeptTokensRun& run, const std::filesystem::path& path);

}  // namespace kvpress
