#include "kvpress/base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace kvpress {
namespace {

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

}  // namespace
}  // namespace kvpress
