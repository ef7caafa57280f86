// Notes, warnings and progress on stderr. Results are printed elsewhere.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace kvpress {

/// If quiet, only errors are printed to stderr.
void set_quiet(bool quiet);
bool is_quiet();

void log_info(std::string_view line);
void log_warning(std::string_view line);
/// Prints the warning only the first time in the process.
void log_warning_once(const std::string& line);

/// Progress over a known number of steps: a bar on a terminal, otherwise a line every few seconds; nothing if quiet.
/// The destructor removes the bar.
class Progress {
 public:
  Progress(std::string label, std::int64_t total);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void advance(std::int64_t steps = 1);

 private:
  void draw() const;

  std::string label_;
  std::int64_t total_;
  std::int64_t done_ = 0;
  bool terminal_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_drawn_;
};

}  // namespace kvpress
