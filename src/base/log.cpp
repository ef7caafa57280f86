#include "kvpress/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <set>

namespace kvpress {
namespace {

std::atomic<bool> quiet_flag{false};

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("kvpress", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%^%l%$: %v");
    return made;
  }();
  return *instance;
}

}  // namespace

void set_quiet(bool quiet) { quiet_flag = quiet; }

bool is_quiet() { return quiet_flag; }

void log_info(std::string_view line) {
  if (!quiet_flag) logger().info("{}", line);
}

void log_warning(std::string_view line) {
  if (!quiet_flag) logger().warn("{}", line);
}

void log_warning_once(const std::string& line) {
  static std::mutex mutex;
  static std::set<std::string> told;
  const std::scoped_lock lock(mutex);
  if (told.insert(line).second) log_warning(line);
}

Progress::Progress(std::string label, std::int64_t total)
    : label_(std::move(label)),
      total_(std::max<std::int64_t>(total, 1)),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()),
      last_drawn_(start_) {
  if (terminal_) draw();
}

Progress::~Progress() {
  if (terminal_ && !quiet_flag) {
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
  }
}

void Progress::advance(std::int64_t steps) {
  done_ += steps;
  const auto now = std::chrono::steady_clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000);
  if (now - last_drawn_ < interval) return;
  last_drawn_ = now;
  draw();
}

void Progress::draw() const {
  if (quiet_flag) return;
  const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const std::string left = share > 0.01 ? fmt::format("{:.0f} s left", elapsed / share * (1 - share)) : "";
  if (terminal_) {
    constexpr int kWidth = 30;
    const int filled = static_cast<int>(share * kWidth);
    fmt::print(stderr, "\r\033[K{} [{:=<{}}{: <{}}] {:3.0f} %  {}", label_, "", filled, "", kWidth - filled,
               share * 100, left);
  } else {
    fmt::print(stderr, "{}: {:.0f} %  {}\n", label_, share * 100, left);
  }
  std::fflush(stderr);
}

}  // namespace kvpress
