#include "kvpress/base/threads.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>

#include "base/control_group.h"
#include "base/thread_limit.h"
#include "kvpress/base/error.h"

namespace kvpress {

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::clamp(std::ceil(group_limits().cores), 1.0, static_cast<double>(cores)));
}

int max_threads() { return std::max(16, 4 * available_cores()); }

namespace {

constexpr const char* kOpenMPVariable = "OMP_NUM_THREADS";

/// The first number of OMP_NUM_THREADS ("4", "4,2" for nested loops); 0 where it is not set.
int stated_threads() {
  const char* value = std::getenv(kOpenMPVariable);
  if (value == nullptr || *value == '\0') return 0;
  const std::string_view text(value, std::strcspn(value, ","));
  int n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 1 || n > max_threads()) {
    fail_usage("{}: '{}' is not a number of threads from 1 to {}; this process has {} cores", kOpenMPVariable, value,
               max_threads(), available_cores());
  }
  return n;
}

}  // namespace

void set_threads(int n) {
  if (n < 0) fail_setting("threads", "{} is negative; give a number of threads, or 0 for one per core", n);
  if (n > max_threads()) {
    fail_setting("threads", "{} is too many; this process has {} cores and runs at most {} threads", n,
                 available_cores(), max_threads());
  }
  if (n == 0) n = stated_threads();
  omp_set_num_threads(n == 0 ? available_cores() : n);
}

int threads() { return omp_get_max_threads(); }

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const auto colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace kvpress
