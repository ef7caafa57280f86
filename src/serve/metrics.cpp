#include "serve/metrics.h"

#include <fmt/format.h>

namespace kvpress::serve {

void CallCounts::add(const std::string& path, int status) {
  const std::scoped_lock lock(mutex_);
  ++counts_[{path, status}];
}

std::map<std::pair<std::string, int>, std::uint64_t> CallCounts::all() const {
  const std::scoped_lock lock(mutex_);
  return counts_;
}

void MetricsText::begin(std::string_view name, std::string_view type, std::string_view help) {
  text_ += fmt::format("# HELP kvpress_{0} {1}\n# TYPE kvpress_{0} {2}\n", name, help, type);
}

void MetricsText::value(std::string_view name, std::string_view labels, double value) {
  text_ += fmt::format("kvpress_{}{} {}\n", name, labels, value);
}

void MetricsText::add(std::string_view name, std::string_view type, std::string_view help, double number) {
  begin(name, type, help);
  value(name, "", number);
}

}  // namespace kvpress::serve
