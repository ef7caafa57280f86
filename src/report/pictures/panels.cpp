#include "report/pictures/panels.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "base/median.h"

namespace kvpress {
namespace {

/// Runs that differ in one of these are not compared with each other. (Of a press's own budget they may.)
constexpr const char* kConditions[] = {
    "max_length",  "stride",   "chunk_size",         "context_tokens", "compression_interval", "positions",   "dtype",
    "cache_dtype", "n_tokens", "max_context_length", "fraction",       "query_aware",          "needle_depth"};

using Key = std::tuple<std::string, std::string, std::string>;

Key key_of(const RunRow& row) { return {row.model, row.dataset, row.protocol}; }

/// The settings above that take several values among rows of the same key.
std::map<Key, std::vector<std::string>> differing_settings(const std::vector<RunRow>& rows) {
  std::map<Key, std::map<std::string, std::set<std::string>>> values;
  for (const RunRow& row : rows) {
    auto& mine = values[key_of(row)];
    for (const char* name : kConditions) mine[name].insert(row.setting(name));
  }
  std::map<Key, std::vector<std::string>> differing;
  for (const auto& [key, settings] : values) {
    for (const char* name : kConditions) {
      if (settings.at(name).size() > 1) differing[key].push_back(name);
    }
  }
  return differing;
}

RunRow merged(const std::vector<const RunRow*>& runs) {
  RunRow row = *runs.front();
  if (runs.size() == 1) return row;
  std::map<std::string, std::vector<double>> values;
  for (const RunRow* run : runs) {
    for (const auto& [name, value] : run->numbers) values[name].push_back(value);
    for (const auto& [name, it] : run->intervals) {
      auto& mine = row.intervals.emplace(name, it).first->second;
      mine = {std::min(mine.low, it.low), std::max(mine.high, it.high)};
    }
  }
  for (const auto& [name, all] : values) row.numbers[name] = median(all);
  std::vector<double> evicted;
  for (const RunRow* run : runs) {
    if (run->evicted_share) evicted.push_back(*run->evicted_share);
  }
  if (!evicted.empty()) row.evicted_share = median(evicted);
  // What was measured several times has a spread of its own.
  for (const auto& [name, all] : values) {
    if (!name.ends_with("_sec") || row.intervals.count(name) != 0 || all.size() < 2) continue;
    const auto [low, high] = std::minmax_element(all.begin(), all.end());
    row.intervals[name] = {*low, *high};
  }
  return row;
}

std::vector<Series> series_of(const std::vector<RunRow>& rows, const std::vector<std::size_t>& indices) {
  // Ratios are written with two digits or worked out from a size: a millionth apart they are the same.
  std::map<std::string, std::map<std::int64_t, std::vector<const RunRow*>>> by_press;
  for (const std::size_t i : indices) {
    by_press[rows[i].press][std::llround(rows[i].compression_ratio * 1e6)].push_back(&rows[i]);
  }
  std::vector<Series> series;
  for (const auto& [press, by_ratio] : by_press) {
    Series line{press, {}};
    for (const auto& [ratio, runs] : by_ratio) line.runs.push_back(merged(runs));
    // A line goes from left to right on an axis of what was evicted.
    std::stable_sort(line.runs.begin(), line.runs.end(),
                     [](const RunRow& a, const RunRow& b) { return a.evicted() < b.evicted(); });
    series.push_back(std::move(line));
  }
  std::stable_partition(series.begin(), series.end(), [](const Series& it) { return it.press == "no_press"; });
  return series;
}

}  // namespace

std::string Panel::title() const {
  std::string title = dataset;
  for (const std::string& it : {protocol, model, detail}) {
    if (!it.empty()) title += ", " + it;
  }
  return title;
}

const RunRow* Panel::full_cache() const {
  return !series.empty() && series.front().press == "no_press" ? &series.front().runs.front() : nullptr;
}

std::vector<Panel> panels_of(const std::vector<RunRow>& rows) {
  const auto differing = differing_settings(rows);
  std::map<std::pair<Key, std::string>, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::string detail;
    if (const auto at = differing.find(key_of(rows[i])); at != differing.end()) {
      for (const std::string& name : at->second) {
        const std::string value = rows[i].setting(name);
        if (value.empty()) continue;
        detail += (detail.empty() ? "" : ", ") + name + " " + value;
      }
    }
    groups[{key_of(rows[i]), detail}].push_back(i);
  }
  std::vector<Panel> panels;
  for (const auto& [key, indices] : groups) {
    const auto& [model, dataset, protocol] = key.first;
    panels.push_back({model, dataset, protocol, key.second, series_of(rows, indices), indices});
  }
  return panels;
}

std::vector<std::string> presses_of(const std::vector<RunRow>& rows) {
  std::set<std::string> names;
  for (const RunRow& row : rows) names.insert(row.press);
  return {names.begin(), names.end()};
}

std::vector<bool> pareto_front(std::span<const Point> points) {
  std::vector<std::size_t> order(points.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(points[a].x, points[a].y) < std::pair(points[b].x, points[b].y);
  });
  std::vector<bool> front(points.size(), false);
  // Going right, a point is on the front when it is lower than everything left of it. Of equal x the lowest comes
  // first; equal points are all on it.
  const Point* last = nullptr;
  for (const std::size_t i : order) {
    const Point& it = points[i];
    if (last != nullptr && it.y >= last->y && !(it.x == last->x && it.y == last->y)) continue;
    front[i] = true;
    last = &points[i];
  }
  return front;
}

}  // namespace kvpress
