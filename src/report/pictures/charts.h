// The charts that are drawn both by gnuplot and by the script of the HTML page: the trade-off, memory along a run, and
// the heat map of kept tokens. What both drawings have in common is defined here and in palette.h: axes with their
// labels and units, colours and marks, the order of presses and panels, and the words of legends. page/charts_json.h
// hands it to the page.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "report/documents/kept_tokens_document.h"
#include "report/documents/measures.h"
#include "report/documents/timeline_document.h"
#include "report/pictures/palette.h"
#include "report/pictures/panels.h"

namespace kvpress {

/// An axis of the trade-off.
struct MeasureAxis {
  Measure measure;
  std::string title;       ///< label and unit: "cache after the last compression (MiB)"
  bool log = false;        ///< logarithmic: the values of compressed runs span more than an order of magnitude
  bool joined = false;     ///< on the x axis: the points of a press are joined by a line
  bool zero_line = false;  ///< on the y axis: a line marks 0, the full cache
};

struct LegendEntry {
  std::string press;
  std::string label;  ///< the press, or "no_press (full cache)"
  PressStyle style;
};

/// Quality against cost: one plot per panel and pair of axes.
struct TradeoffChart {
  std::vector<MeasureAxis> quality;  ///< the y axes, the most informative first: quality_measures()
  std::vector<MeasureAxis> costs;    ///< the x axes: cost_measures()
  std::vector<Panel> panels;
  std::vector<LegendEntry> legend;  ///< no_press first, the others sorted by name

  /// The axis of a measure of quality, which must be one of `quality`.
  const MeasureAxis& quality_axis(const Measure& measure) const;
};
TradeoffChart tradeoff_chart(const std::vector<RunRow>& rows);

/// Discs under the points of the Pareto front.
struct FrontLook {
  Color color;
  std::string_view name;
  std::string_view meaning;
  /// Name and meaning as an entry of a legend.
  std::string label() const;
};
inline constexpr FrontLook kFront = {{"#DFE3E8", "#39424E"}, "Pareto front", "no run is better on both axes"};

/// A curve of memory along a run.
struct MemoryCurve {
  std::string_view key;  ///< in timeline.json
  std::string_view title;
  std::int64_t MemoryPoint::*bytes;
  LineStyle style;
  std::string axis() const;                   ///< "KV cache (MiB)"
  double value(const MemoryPoint& it) const;  ///< in MiB
};
inline constexpr std::array<MemoryCurve, 2> kMemoryCurves = {
    {{"cache", "KV cache", &MemoryPoint::cache, {{"#0072B2", "#3D9BE0"}, Mark::circle, Dash::solid}},
     {"resident", "resident memory", &MemoryPoint::resident, {{"#D55E00", "#E8742A"}, Mark::square, Dash::dashed}}}};

/// An x axis of memory along a run.
struct TimeAxis {
  std::string_view key;  ///< in timeline.json
  std::string_view title;
};
inline constexpr TimeAxis kTokensAxis = {"tokens", "tokens of the text"};
inline constexpr TimeAxis kSecondsAxis = {"seconds", "seconds"};

/// Bands behind the curves, by phase.
inline constexpr std::array<Color, kPhases> kPhaseColors = {{{"#0072B2", "#3D9BE0"},    // prefill
                                                             {"#D55E00", "#E8742A"},    // compress
                                                             {"#009E73", "#1DB98B"},    // score
                                                             {"#E69F00", "#EDB02E"}}};  // decode

/// A stretch of one phase: from points[first] to points[last].
struct PhaseBand {
  Phase phase;
  std::size_t first, last;
};
std::vector<PhaseBand> phase_bands(const std::vector<MemoryPoint>& points);

/// The phases that the bands of any of these show, in the order of Phase.
std::vector<Phase> phases_of(const std::vector<std::vector<PhaseBand>>& bands);

/// The colours of a heat map by the share of kept tokens; between two stops they are mixed.
struct ColorStop {
  double share;
  Color color;
};
inline constexpr std::array<ColorStop, 3> kHeatScale = {
    {{0, {"#EEF1F4", "#262D36"}}, {0.5, {"#6AA3CF", "#51779B"}}, {1, {"#08407C", "#7CC0FF"}}}};

/// The axes of a heat map.
inline constexpr std::string_view kPositionAxis = "position in the text (tokens)";
inline constexpr std::string_view kShareAxis = "% of heads";
/// "layer, 3 heads each", and what marks a layer with a window, where there are any.
std::string layer_axis(const KeptTokens& kept);
/// "5", or "5 w" for a layer with a window.
std::string layer_name(const KeptTokens& kept, std::int64_t layer);
/// "layers with windows of 512 tokens"; empty where there are none.
std::string windows_text(const KeptTokens& kept);

}  // namespace kvpress
