#include "report/documents/timeline_document.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <optional>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

constexpr std::array kNumbers = {"seconds", "tokens", "cache", "resident"};
constexpr double kLargest = 9007199254740992;  // 2^53: up to there JSON's doubles are exact integers

std::optional<Phase> phase_named(const std::string& name) {
  for (std::size_t i = 0; i < kPhases; ++i) {
    if (to_string(static_cast<Phase>(i)) == name) return static_cast<Phase>(i);
  }
  return std::nullopt;
}

std::string timeline_text(const Json& document) {
  std::string text;
  for (const auto& [name, value] : document.items()) {
    text += fmt::format("{} {}: {}", text.empty() ? "{" : ",\n ", Json(name).dump(), value.dump());
  }
  return text + "\n}\n";
}

}  // namespace

std::vector<MemoryPoint> memory_points(const Timeline& timeline) {
  std::vector<MemoryPoint> points;
  TimelinePoint before;
  for (const TimelinePoint& it : timeline.points()) {
    points.push_back({it.phase_since(before), std::round(it.seconds * 1e6) / 1e6, it.tokens,
                      static_cast<std::int64_t>(it.cache), static_cast<std::int64_t>(it.resident)});
    before = it;
  }
  return points;
}

Json timeline_document(const Timeline& timeline) {
  Json document;
  for (const char* it : {"phase", "seconds", "tokens", "cache", "resident"}) document[it] = Json::array();
  for (const MemoryPoint& it : memory_points(timeline)) {
    document["phase"].push_back(to_string(it.phase));
    document["seconds"].push_back(it.seconds);
    document["tokens"].push_back(it.tokens);
    document["cache"].push_back(it.cache);
    document["resident"].push_back(it.resident);
  }
  for (std::size_t i = 0; i < kPhases; ++i) {
    const auto phase = static_cast<Phase>(i);
    document["phase_seconds"][std::string(to_string(phase))] = timeline.seconds_of(phase);
  }
  return document;
}

std::vector<MemoryPoint> read_timeline(const Json& document) {
  const auto list = [&](const char* name) -> const Json& {
    if (!document.is_object() || !document.contains(name) || !document[name].is_array()) {
      fail("timeline: '{}' must be a list", name);
    }
    return document[name];
  };
  const std::size_t n = list("phase").size();
  if (n == 0) fail("timeline: there must be at least one point");
  std::vector<MemoryPoint> points(n);
  for (std::size_t i = 0; i < n; ++i) {
    const Json& it = document["phase"][i];
    const auto phase = it.is_string() ? phase_named(it.get<std::string>()) : std::nullopt;
    if (!phase) {
      fail("timeline: 'phase' must contain names of phases, not {}",
           it.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 40));
    }
    points[i].phase = *phase;
  }
  for (const char* name : kNumbers) {
    if (list(name).size() != n) fail("timeline: '{}' has {} values, but 'phase' has {}", name, list(name).size(), n);
    for (const Json& it : document[name]) {
      if (!it.is_number() || !(it.get<double>() >= 0 && it.get<double>() <= kLargest)) {
        fail("timeline: '{}' must contain numbers of at least 0, not {}", name,
             it.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 40));
      }
    }
  }
  const auto bytes = [&](const char* name, std::size_t i) {
    return static_cast<std::int64_t>(document[name][i].get<double>());
  };
  for (std::size_t i = 0; i < n; ++i) {
    MemoryPoint& it = points[i];
    it.seconds = document["seconds"][i].get<double>();
    it.tokens = bytes("tokens", i);
    it.cache = bytes("cache", i);
    it.resident = bytes("resident", i);
    if (i > 0 && it.seconds < points[i - 1].seconds) fail("timeline: 'seconds' must not decrease");
  }
  return points;
}

MoreFiles timeline_file(const RunResult& run) {
  if (run.timeline.empty()) return {};
  return {{"timeline.json", timeline_text(timeline_document(run.timeline))}};
}

}  // namespace kvpress
