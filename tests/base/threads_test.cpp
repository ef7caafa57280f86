#include "kvpress/base/threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/thread_limit.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

using testing::HasSubstr;

TEST(ParallelFor, CallsEachBodyOnce) {
  for (const std::int64_t n : {0, 1, 2, 1000}) {
    std::vector<int> calls(static_cast<std::size_t>(n), 0);
    parallel_for(n, [&](std::int64_t i) { ++calls[static_cast<std::size_t>(i)]; });
    EXPECT_EQ(calls, std::vector<int>(static_cast<std::size_t>(n), 1));
  }
}

TEST(ParallelFor, WhatABodyThrowsReachesTheCallerAfterAllWereCalled) {
  for (const std::int64_t n : {1, 2, 1000}) {
    std::atomic<std::int64_t> calls = 0;
    EXPECT_THROW(parallel_for(n,
                              [&](std::int64_t i) {
                                ++calls;
                                if (i == n - 1) throw std::invalid_argument("the last");
                              }),
                 std::invalid_argument);
    EXPECT_EQ(calls, n);
  }
}

std::string error_of(int n) {
  try {
    set_threads(n);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

TEST(SetThreads, RefusesMoreThanAFewPerCore) {
  const int before = threads();
  EXPECT_EQ(error_of(max_threads()), "no error");
  EXPECT_THAT(error_of(max_threads() + 1), HasSubstr("cores"));
  EXPECT_THAT(error_of(100000), HasSubstr("threads: 100000 is too many"));
  omp_set_num_threads(before);
}

TEST(SetThreads, NoneStatedMeansThoseOfOpenMPsVariable) {
  const char* before = std::getenv("OMP_NUM_THREADS");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("OMP_NUM_THREADS", "3,2", 1);
  set_threads(0);
  EXPECT_EQ(threads(), 3);
  set_threads(2);
  EXPECT_EQ(threads(), 2);
  for (const char* wrong : {"many", "0", "-1", "100000", "99999999999999999999"}) {
    ::setenv("OMP_NUM_THREADS", wrong, 1);
    EXPECT_THAT(error_of(0), HasSubstr(std::string("OMP_NUM_THREADS: '") + wrong)) << wrong;
  }
  ::unsetenv("OMP_NUM_THREADS");
  set_threads(0);
  EXPECT_EQ(threads(), available_cores());
  if (before != nullptr) ::setenv("OMP_NUM_THREADS", kept.c_str(), 1);
}

}  // namespace
}  // namespace kvpress
