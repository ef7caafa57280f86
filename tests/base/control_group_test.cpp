#include "base/control_group.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

/// A made-up tree of groups.
class ControlGroup : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const {
    const auto file = folder_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  GroupLimits read(const std::string& membership) const { return read_group_limits(folder_.path(), membership); }
  static bool has_none(const GroupLimits& limits) {
    return std::isinf(limits.cores) && limits.memory == GroupLimits().memory;
  }

  test::TemporaryFolder folder_;
};

TEST_F(ControlGroup, LimitsNothingWhereNothingIsLimited) {
  EXPECT_TRUE(has_none(read("")));
  EXPECT_TRUE(has_none(read("0::/\n")));
  EXPECT_TRUE(has_none(read("no such text")));
  write("job/cpu.max", "max 100000");
  write("job/memory.max", "max");
  EXPECT_TRUE(has_none(read("0::/job\n")));
}

TEST_F(ControlGroup, TheTightestOfAllLevelsHolds) {
  write("slice/cpu.max", "150000 100000");
  write("slice/job/cpu.max", "400000 100000");
  write("slice/job/step/cpu.max", "max 100000");
  write("slice/memory.max", "8000");
  write("slice/memory.current", "7000");
  write("slice/job/memory.max", "3000");
  write("slice/job/memory.current", "500");
  const GroupLimits limits = read("0::/slice/job/step\n");
  EXPECT_EQ(limits.cores, 1.5);
  EXPECT_EQ(limits.memory, 1000u);
  EXPECT_EQ(read("0::/slice/other\n").cores, 1.5);  // a group that is not there is within one that is
}

TEST_F(ControlGroup, FilesThatTheKernelMayDropAreNotTaken) {
  write("memory.max", "10000");
  write("memory.current", "9000");
  write("memory.stat", "anon 2000\nfile 7000\ninactive_file 6500\nactive_file 500");
  EXPECT_EQ(read("0::/\n").memory, 7500u);
}

TEST_F(ControlGroup, AContainerSeesItsOwnGroupAsTheMount) {
  write("cpu.max", "200000 100000");
  write("memory.max", "100");
  write("memory.current", "400");  // may be above for a moment
  const GroupLimits limits = read("0::/docker/5f3e\n");
  EXPECT_EQ(limits.cores, 2);
  EXPECT_EQ(limits.memory, 0u);
}

TEST_F(ControlGroup, VersionOneHasAFolderForEachController) {
  write("cpu/slurm/job_7/cpu.cfs_quota_us", "50000");
  write("cpu/slurm/job_7/cpu.cfs_period_us", "100000");
  write("cpu/slurm/cpu.cfs_quota_us", "-1");
  write("cpu/slurm/cpu.cfs_period_us", "100000");
  write("memory/slurm/memory.limit_in_bytes", "9223372036854771712");  // what it says for no limit
  write("memory/slurm/job_7/memory.limit_in_bytes", "5000");
  write("memory/slurm/job_7/memory.usage_in_bytes", "1000");
  const GroupLimits limits = read("4:cpu,cpuacct:/slurm/job_7\n3:memory:/slurm/job_7\n1:name=systemd:/x\n0::/\n");
  EXPECT_EQ(limits.cores, 0.5);
  EXPECT_EQ(limits.memory, 4000u);
}

TEST(Cores, AreAtLeastOneAndNoMoreThanGroupsLeave) {
  EXPECT_GE(available_cores(), 1);
  EXPECT_LE(available_cores(), std::ceil(std::max(1.0, group_limits().cores)));
  EXPECT_LE(available_bytes(), group_limits().memory);
}

}  // namespace
}  // namespace kvpress
