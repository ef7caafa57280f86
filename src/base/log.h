// What a run tells on stderr: notes, warnings, and how far it is. Results never go through here.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace kvpress {

/// With quiet on, only errors reach stderr.
void set_quiet(bool quiet);
bool is_quiet();

void log_info(std::string_view line);
void log_warning(std::string_view line);
/// A warning that is told once in the life of the process, whatever calls it how often.
void log_warning_once(const std::string& line);

/// Progress of a known number of steps: a bar that redraws itself on a terminal, a plain line every few seconds
/// elsewhere, nothing when quiet. The bar is removed when the object ends.
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
