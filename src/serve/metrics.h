// Numbers of the server in the text form of Prometheus.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace kvpress::serve {

/// Calls by path and status. Thread-safe.
class CallCounts {
 public:
  void add(const std::string& path, int status);
  std::map<std::pair<std::string, int>, std::uint64_t> all() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> counts_;
};

/// Text in Prometheus' form.
class MetricsText {
 public:
  /// A number: kvpress_<name>. `type` is "counter" or "gauge".
  void add(std::string_view name, std::string_view type, std::string_view help, double value);
  /// The head of a metric whose values have labels, and one of them: labels as in {path="/",status="200"}.
  void begin(std::string_view name, std::string_view type, std::string_view help);
  void value(std::string_view name, std::string_view labels, double value);
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace kvpress::serve
