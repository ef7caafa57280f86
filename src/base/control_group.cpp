#include "base/control_group.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string_view>

namespace kvpress {
namespace {

namespace fs = std::filesystem;

/// The first number of a file; none where there is no such file, or it says "max" or -1.
std::optional<std::uint64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  if (!(file >> value) || value < 0) return {};
  return static_cast<std::uint64_t>(value);
}

void limit_cores(GroupLimits& limits, double quota, double period) {
  if (quota > 0 && period > 0) limits.cores = std::min(limits.cores, quota / period);
}

/// Files that the kernel holds for the group and drops when memory is wanted.
std::uint64_t reclaimable(const fs::path& statistics) {
  std::ifstream file(statistics);
  std::uint64_t value = 0;
  for (std::string key; file >> key >> value;) {
    if (key == "inactive_file" || key == "total_inactive_file") return value;
  }
  return 0;
}

void limit_memory(GroupLimits& limits, const fs::path& most, const fs::path& used) {
  const auto bytes = number_in(most);
  if (!bytes) return;
  const std::uint64_t held = number_in(used).value_or(0);
  const std::uint64_t taken = held - std::min(held, reclaimable(most.parent_path() / "memory.stat"));
  limits.memory = std::min(limits.memory, *bytes > taken ? *bytes - taken : 0);
}

/// Calls look(folder) for a group and all around it, up to the mount. A group named from outside (in a container, which
/// sees its own group as the mount) is not there, and then its mount is looked at.
template <typename Look>
void for_groups(const fs::path& mount, std::string_view group, Look&& look) {
  fs::path below = fs::path(group).relative_path();
  while (!below.empty()) {
    look(mount / below);
    below = below.parent_path();
  }
  look(mount);
}

/// Whether a list with commas has this name.
bool has(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const std::string_view first = list.substr(0, list.find(','));
    if (first == name) return true;
    list.remove_prefix(std::min(list.size(), first.size() + 1));
  }
  return false;
}

}  // namespace

GroupLimits read_group_limits(const fs::path& mount, const std::string& membership) {
  GroupLimits limits;
  std::istringstream lines(membership);
  for (std::string line; std::getline(lines, line);) {  // "hierarchy:controllers:group"
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view all = line;
    const std::string_view controllers = all.substr(first + 1, second - first - 1);
    const std::string_view group = all.substr(second + 1);
    if (controllers.empty()) {  // version 2
      for_groups(mount, group, [&](const fs::path& folder) {
        std::ifstream file(folder / "cpu.max");
        double quota = 0;
        double period = 0;
        if (file >> quota >> period) limit_cores(limits, quota, period);
        limit_memory(limits, folder / "memory.max", folder / "memory.current");
      });
    }
    if (has(controllers, "cpu")) {
      for_groups(mount / "cpu", group, [&](const fs::path& folder) {
        limit_cores(limits, static_cast<double>(number_in(folder / "cpu.cfs_quota_us").value_or(0)),
                    static_cast<double>(number_in(folder / "cpu.cfs_period_us").value_or(0)));
      });
    }
    if (has(controllers, "memory")) {
      for_groups(mount / "memory", group, [&](const fs::path& folder) {
        limit_memory(limits, folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes");
      });
    }
  }
  return limits;
}

GroupLimits group_limits() {
  std::ifstream file("/proc/self/cgroup");
  const std::string membership{std::istreambuf_iterator<char>(file), {}};
  return read_group_limits("/sys/fs/cgroup", membership);
}

}  // namespace kvpress
