#include "report/documents/run_rows.h"

#include <fmt/format.h>

#include <cmath>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

/// Two numbers that belong to NAME: what their own name ends with.
constexpr std::string_view kIntervalSuffixes[] = {"_ci95", "_spread"};

std::optional<Interval> as_interval(const Json& value) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_number() || !value[1].is_number()) return {};
  return Interval{value[0].get<double>(), value[1].get<double>()};
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

std::string needed_text(const Json& object, const char* file, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_string()) fail("{} has no string \"{}\"", file, key);
  return at->get<std::string>();
}

}  // namespace

std::optional<double> RunRow::number(const std::string& name) const {
  const auto at = numbers.find(name);
  return at == numbers.end() ? std::nullopt : std::optional(at->second);
}

std::optional<Interval> RunRow::interval(const std::string& name) const {
  const auto at = intervals.find(name);
  return at == intervals.end() ? std::nullopt : std::optional(at->second);
}

std::string RunRow::setting(const std::string& name) const {
  const auto at = settings.find(name);
  return at == settings.end() ? std::string() : at->second;
}

RunRow run_row(const Json& metrics, const Json& config) {
  if (!metrics.is_object()) fail("metrics.json is not a JSON object");
  RunRow row;
  row.press = needed_text(metrics, "metrics.json", "press");
  row.model = needed_text(config, "config.yaml", "model");
  row.dataset = needed_text(config, "config.yaml", "dataset");
  if (config.contains("protocol")) row.protocol = text_of(config["protocol"]);
  for (const auto& [key, value] : metrics.items()) {
    if (value.is_number() && std::isfinite(value.get<double>())) row.numbers[key] = value.get<double>();
    for (const std::string_view suffix : kIntervalSuffixes) {
      if (!key.ends_with(suffix)) continue;
      if (const auto it = as_interval(value)) row.intervals[key.substr(0, key.size() - suffix.size())] = *it;
    }
  }
  for (const auto& [key, value] : config.items()) {
    if (!value.is_null()) row.settings[key] = text_of(value);
  }
  const auto ratio = row.number("compression_ratio");
  if (!ratio || *ratio < 0 || *ratio > 1) fail("metrics.json has no \"compression_ratio\" in [0, 1]");
  row.compression_ratio = *ratio;
  row.numbers.erase("compression_ratio");
  if (row.numbers.empty()) fail("metrics.json contains no number");
  return row;
}

}  // namespace kvpress
