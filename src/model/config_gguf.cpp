#include "model/config_gguf.h"

#include <algorithm>
#include <cmath>

#include "formats/printable.h"
#include "kvpress/base/error.h"

namespace kvpress {

std::string GgufConfig::read(std::string_view key) {
  std::string name = full(key);
  read_.insert(name);
  return name;
}

std::int64_t GgufConfig::size(std::string_view key, std::int64_t most) {
  const std::string name = read(key);
  const auto values = file_.integers(name);
  if (!values || values->empty()) fail("{}: metadata {} is missing", path(), name);
  const std::int64_t value = values->front();
  if (std::any_of(values->begin(), values->end(), [&](std::int64_t it) { return it != value; })) {
    fail("{}: metadata {} differs from layer to layer, which is not supported", path(), name);
  }
  if (value < 1 || value > most) fail("{}: metadata {} is {}, it must be from 1 to {}", path(), name, value, most);
  return value;
}

std::int64_t GgufConfig::size_or(std::string_view key, std::int64_t most, std::int64_t fallback) {
  return has(key) ? size(key, most) : fallback;
}

std::optional<double> GgufConfig::number(std::string_view key) {
  const std::string name = read(key);
  const auto value = file_.number(name);
  if (value && !std::isfinite(*value)) fail("{}: metadata {} is {}, it must be finite", path(), name, *value);
  return value;
}

std::optional<std::string> GgufConfig::text(std::string_view key) {
  const auto* value = file_.get<std::string>(read(key));
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::vector<std::int64_t> GgufConfig::integers(std::string_view key) {
  return file_.integers(read(key)).value_or(std::vector<std::int64_t>{});
}

float GgufConfig::cap(std::string_view key, double fallback) {
  const double value = number(key).value_or(fallback);
  if (value < 0) fail("{}: metadata {} is {}, it must be at least 0", path(), full(key), value);
  return static_cast<float>(value);
}

void GgufConfig::require(std::string_view key, double wanted) {
  const auto value = number(key);
  if (value && *value != wanted) fail("{}: metadata {} {} is not supported", path(), full(key), *value);
}

void GgufConfig::refuse_unread(std::span<const std::string_view> harmless) const {
  std::string first;
  for (const auto& [key, value] : file_.metadata()) {
    if (!key.starts_with(prefix_) || read_.contains(key)) continue;
    if (std::find(harmless.begin(), harmless.end(), key.substr(prefix_.size())) != harmless.end()) continue;
    if (first.empty() || key < first) first = key;
  }
  if (first.empty()) return;
  fail("{}: metadata {} is not known here; results without it could be wrong", path(), printable(first));
}

}  // namespace kvpress
