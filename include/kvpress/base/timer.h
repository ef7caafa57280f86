// Wall-clock timers.
#pragma once

#include <chrono>

namespace kvpress {

/// Measures the seconds since its construction.
class Timer {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Adds the time of its scope to `total`.
class ScopedTimer {
 public:
  explicit ScopedTimer(double& total) : total_(total) {}
  ScopedTimer(const ScopedTimer&) = delete;
  ScopedTimer& operator=(const ScopedTimer&) = delete;
  ~ScopedTimer() { total_ += timer_.seconds(); }

 private:
  double& total_;
  Timer timer_;
};

}  // namespace kvpress
