#include "report/documents/run_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

/// Two numbers that belong to NAME: what their own name ends with.
constexpr std::string_view kIntervalSuffixes[] = {"_ci95", "_spread"};

bool is_usable(double value) { return std::abs(value) < kLargestNumber; }

std::optional<Interval> as_interval(const Json& value) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_number() || !value[1].is_number()) return {};
  if (!is_usable(value[0].get<double>()) || !is_usable(value[1].get<double>())) return {};
  return Interval{value[0].get<double>(), value[1].get<double>()};
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

std::vector<double> as_numbers(const Json& value) {
  std::vector<double> numbers;
  if (!value.is_array()) return numbers;
  for (const Json& it : value) {
    if (!it.is_number() || !std::isfinite(it.get<double>())) return {};
    numbers.push_back(it.get<double>());
  }
  return numbers;
}

/// "paired_units" of metrics.json; nothing unless both lists are whole.
UnitMeans units_of(const Json& metrics) {
  const auto at = metrics.find("paired_units");
  if (at == metrics.end() || !at->is_object()) return {};
  UnitMeans units;
  units.of_texts = at->value("of", Json("")) == "texts";
  units.delta_nll = as_numbers(at->value("delta_nll", Json()));
  units.kl = as_numbers(at->value("kl_full", Json()));
  return units.kl.size() == units.delta_nll.size() ? units : UnitMeans();
}

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
    if (value.is_number()) {
      if (is_usable(value.get<double>())) {
        row.numbers[key] = value.get<double>();
      } else {
        row.left_out.push_back(key);
      }
    }
    for (const std::string_view suffix : kIntervalSuffixes) {
      if (!key.ends_with(suffix)) continue;
      if (const auto it = as_interval(value)) row.intervals[key.substr(0, key.size() - suffix.size())] = *it;
    }
  }
  for (const auto& [key, value] : config.items()) {
    if (!value.is_null() && key != "command") row.settings[key] = text_of(value);  // a command is no setting
  }
  const auto ratio = row.number("compression_ratio");
  if (!ratio || *ratio < 0 || *ratio > 1) fail("metrics.json has no \"compression_ratio\" in [0, 1]");
  row.compression_ratio = *ratio;
  row.numbers.erase("compression_ratio");
  if (const auto evicted = row.number("evicted_share"); evicted && *evicted >= 0 && *evicted <= 1) {
    row.evicted_share = *evicted;
  }
  row.numbers.erase("evicted_share");
  row.units = units_of(metrics);
  if (row.numbers.empty()) fail("metrics.json contains no number");
  return row;
}

void measure_evicted(std::vector<RunRow>& rows) {
  // Of runs with other settings, or on other texts, a cache is no measure.
  const auto key_of = [](const RunRow& row) {
    std::string key = row.model + '\n' + row.dataset + '\n' + row.protocol;
    for (const char* name :
         {"max_length", "stride", "chunk_size", "context_tokens", "n_tokens", "dtype", "cache_dtype"}) {
      key += '\n' + row.setting(name);
    }
    return key;
  };
  std::map<std::string, const RunRow*> full;
  for (const RunRow& row : rows) {
    if (row.is_full_cache()) full.emplace(key_of(row), &row);
  }
  constexpr double kSame = 0.005;
  for (RunRow& row : rows) {
    if (row.evicted_share) continue;
    const auto at = full.find(key_of(row));
    if (at == full.end()) continue;
    for (const char* name : {"cache_tokens", "cache_bytes"}) {
      const auto mine = row.number(name);
      const auto whole = at->second->number(name);
      if (!mine || !whole || *whole <= 0) continue;
      row.evicted_share = std::clamp(1 - *mine / *whole, 0.0, 1.0);
      if (*row.evicted_share > kSame) break;
    }
  }
}

}  // namespace kvpress
