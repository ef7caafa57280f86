// kvpress sweep --slurm, on a cluster that the test starts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cli/program.h"
#include "cli/slurm_cluster.h"
#include "cli/sweep_runs.h"

namespace kvpress {
namespace {

using test::kPlan;
using test::results;
using test::run_program;
using testing::HasSubstr;

TEST(Slurm, AnArrayJobMakesTheSameWhole) {
  test::SlurmCluster cluster;
  if (!cluster.ready()) GTEST_SKIP() << cluster.why_not() << " (its programs: apt-get install slurm-wlm munge)";
  const test::TemporaryFolder folder;
  const std::string alone = (folder.path() / "alone").string();
  const std::string spread = (folder.path() / "with a space").string();
  ASSERT_EQ(run_program("sweep " + kPlan + " --quiet -o " + alone).code, 0);

  const test::Ended submitted = run_program("sweep " + kPlan + " --quiet -o '" + spread + "' --slurm --slurm-tasks 3");
  ASSERT_EQ(submitted.code, 0) << submitted.err << cluster.logs();
  EXPECT_THAT(submitted.out, HasSubstr("Submitted batch job"));
  EXPECT_THAT(submitted.out, HasSubstr("31 runs in 3 tasks; when they have finished: kvpress sweep --collect"));
  ASSERT_TRUE(cluster.wait_for_jobs(120)) << cluster.logs();

  const test::Ended collected = run_program("sweep --quiet --collect '" + spread + "'");
  ASSERT_EQ(collected.code, 0) << collected.err << test::content_of(spread + "/slurm-0.log");
  EXPECT_EQ(results(spread), results(alone));
  const auto json = nlohmann::json::parse(test::content_of(spread + "/sweep.json"));
  EXPECT_EQ(json["runs"].size(), 31u);
  for (const char* log : {"/slurm-0.log", "/slurm-1.log", "/slurm-2.log"}) {
    EXPECT_TRUE(std::filesystem::exists(spread + log)) << log;
  }
}

TEST(Slurm, WhatSbatchRefusesIsTold) {
  test::SlurmCluster cluster;
  if (!cluster.ready()) GTEST_SKIP() << cluster.why_not();
  const test::TemporaryFolder folder;
  const std::string sweep = (folder.path() / "sweep").string();
  const test::Ended ended =
      run_program("sweep " + kPlan + " --quiet -o " + sweep + " --slurm --slurm-arguments '--partition=nosuch'");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("sbatch: "));
  EXPECT_THAT(ended.err, HasSubstr("invalid partition specified: nosuch"));
  EXPECT_THAT(ended.err, HasSubstr("submit the job by hand: "));
}

}  // namespace
}  // namespace kvpress
