#include "report/page/charts_json.h"

#include "report/page/html.h"

namespace kvpress {
namespace {

Json style_json(const LineStyle& style) {
  return {{"color", color_json(style.color)}, {"mark", to_string(style.mark)}, {"dash", dash_lengths(style.dash)}};
}

}  // namespace

Json color_json(const Color& color) { return {{"light", color.light}, {"dark", color.dark}}; }

Json legend_json(const TradeoffChart& chart) {
  Json list = Json::array();
  for (const LegendEntry& it : chart.legend) {
    Json entry = style_json(it.style);
    entry["name"] = valid_utf8(it.press);
    entry["label"] = valid_utf8(it.label);
    list.push_back(std::move(entry));
  }
  return list;
}

Json axes_json(const std::vector<MeasureAxis>& axes) {
  Json list = Json::array();
  for (const MeasureAxis& it : axes) {
    list.push_back({{"key", valid_utf8(it.measure.key)},
                    {"label", valid_utf8(it.measure.label)},
                    {"title", valid_utf8(it.title)},
                    {"unit", it.measure.unit},
                    {"scale", it.measure.scale},
                    {"lower", it.measure.lower_is_better},
                    {"log", it.log},
                    {"joined", it.joined},
                    {"zero_line", it.zero_line}});
  }
  return list;
}

Json front_json() { return {{"name", kFront.name}, {"label", kFront.label()}, {"color", color_json(kFront.color)}}; }

Json memory_json() {
  Json json = {{"phases", Json::array()}, {"curves", Json::array()}, {"axes", Json::array()}};
  for (std::size_t i = 0; i < kPhases; ++i) {
    json["phases"].push_back({{"name", to_string(static_cast<Phase>(i))}, {"color", color_json(kPhaseColors[i])}});
  }
  for (const MemoryCurve& it : kMemoryCurves) {
    json["curves"].push_back(
        {{"key", it.key}, {"title", it.title}, {"axis", it.axis()}, {"style", style_json(it.style)}});
  }
  for (const TimeAxis& it : {kTokensAxis, kSecondsAxis}) {
    json["axes"].push_back({{"key", it.key}, {"title", it.title}});
  }
  return json;
}

Json heat_json() {
  Json json = {{"scale", Json::array()}, {"position_axis", kPositionAxis}, {"share_axis", kShareAxis}};
  for (const ColorStop& it : kHeatScale) {
    json["scale"].push_back({{"share", it.share}, {"color", color_json(it.color)}});
  }
  return json;
}

}  // namespace kvpress
