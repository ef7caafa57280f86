#include "kvpress/base/threads.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "base/control_group.h"
#include "kvpress/base/error.h"

namespace kvpress {

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::clamp(std::ceil(group_limits().cores), 1.0, static_cast<double>(cores)));
}

void set_threads(int n) {
  if (n < 0) fail_setting("threads", "{} is negative; give a number of threads, or 0 for one per core", n);
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
