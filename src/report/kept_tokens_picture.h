// The kept tokens of a text as a picture: a row a head, a column a token, drawn by gnuplot.
#pragma once

#include <filesystem>

#include "kvpress/report/kept_tokens_document.h"

namespace kvpress {

/// Shares of tokens kept: of each head in each bin, and of all heads together.
struct KeptBins {
  std::int64_t bin = 1;                    ///< tokens of a bin; the last may have fewer
  std::vector<std::vector<double>> heads;  ///< [layer * n_kv_heads + head][bin]
  std::vector<double> mean;                ///< [bin]
};
/// Bins as small as `most_bins` allows.
KeptBins binned(const KeptTokens& kept, std::int64_t most_bins);

/// Above, heads by layers (layer 0 on top) against places in the text; below, the share of all heads. Of a text longer
/// than the picture is wide a column stands for several tokens and is as dark as the share of them that is kept. A .png
/// or .svg; throws what write_picture() throws.
void write_kept_tokens_picture(const KeptTokensRun& run, const std::filesystem::path& path);

}  // namespace kvpress
