// Limits that control groups (of a container or a batch system) set for this process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>

namespace kvpress {

struct GroupLimits {
  double cores = std::numeric_limits<double>::infinity();
  std::uint64_t memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes that may still be allocated
};

/// The tightest limits of the process's group and of all enclosing groups. `mount` is the mount point of control
/// groups, versions 1 and 2; `membership` is the content of /proc/self/cgroup. Files that cannot be read set no limit.
GroupLimits read_group_limits(const std::filesystem::path& mount, const std::string& membership);

/// The current limits of this process.
GroupLimits group_limits();

}  // namespace kvpress
