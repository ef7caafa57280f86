// What control groups (of a container or a batch system) leave to this process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>

namespace kvpress {

struct GroupLimits {
  double cores = std::numeric_limits<double>::infinity();
  std::uint64_t memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes that may still be taken
};

/// The tightest of the process's own group and all around it. `mount` is where groups are mounted, versions 1 and 2;
/// `membership` is what /proc/self/cgroup says. What cannot be read limits nothing.
GroupLimits read_group_limits(const std::filesystem::path& mount, const std::string& membership);

/// Those of this process, as they are now.
GroupLimits group_limits();

}  // namespace kvpress
