// The definitions of pictures/charts.h as JSON, for the script of the page.
#pragma once

#include "report/documents/json.h"
#include "report/pictures/charts.h"

namespace kvpress {

/// {"light", "dark"}
Json color_json(const Color& color);

/// [{"name", "label", "color", "mark", "dash": [lengths]}], in the order of the legend.
Json legend_json(const TradeoffChart& chart);

/// [{"key", "label", "title", "unit", "scale", "lower", "log", "joined", "zero_line"}]
Json axes_json(const std::vector<MeasureAxis>& axes);

/// {"name", "label", "color"} of the Pareto front.
Json front_json();

/// {"phases": [{"name", "color"}], "curves": [{"key", "title", "axis", "style"}], "axes": [{"key", "title"}]}
Json memory_json();

/// {"scale": [{"share", "color"}], "position_axis", "share_axis"}
Json heat_json();

}  // namespace kvpress
