// The budget of bytes: shares never exceed it, what can be missed makes room, and what is pinned is nobody's to wait
// for.
#include "serve/memory_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "kvpress/base/error.h"

namespace kvpress::serve {
namespace {

TEST(MemoryBudget, SharesAreTakenAndGivenBack) {
  MemoryBudget budget(1000, 300);
  EXPECT_EQ(budget.free(), 700);
  {
    auto share = budget.take(500);
    ASSERT_TRUE(share);
    EXPECT_EQ(budget.taken(), 500);
    EXPECT_FALSE(budget.take(201));
    const auto rest = budget.take(200);
    ASSERT_TRUE(rest);
    EXPECT_EQ(budget.free(), 0);
    share->shrink(100);
    EXPECT_EQ(budget.free(), 400);
    share->shrink(300);  // never grows
    EXPECT_EQ(share->bytes(), 100);
    const MemoryBudget::Share moved = std::move(*share);
    EXPECT_EQ(budget.taken(), 300);
  }
  EXPECT_EQ(budget.taken(), 0);
}

TEST(MemoryBudget, LessThanWhatIsFixedIsRefused) { EXPECT_THROW(MemoryBudget(300, 300), UsageError); }

TEST(MemoryBudget, ReclaimsOnlyWhatHelps) {
  MemoryBudget budget(1000, 0);
  std::vector<MemoryBudget::Share> spare;
  for (int i = 0; i < 4; ++i) spare.push_back(std::move(*budget.take(100)));
  budget.set_reclaimer([&] { return spare.size() * 100; },
                       [&] {
                         if (spare.empty()) return false;
                         spare.pop_back();
                         return true;
                       });
  const auto used = budget.take(500);
  ASSERT_TRUE(used);
  EXPECT_EQ(spare.size(), 4);
  EXPECT_FALSE(budget.take(501));
  EXPECT_EQ(spare.size(), 4) << "what would not be enough is not reclaimed";
  const auto more = budget.take(250);
  ASSERT_TRUE(more);
  EXPECT_EQ(spare.size(), 2);
}

TEST(MemoryBudget, WhatIsPinnedIsNotWaitedFor) {
  MemoryBudget budget(1000, 200);
  auto context = budget.take(300);
  EXPECT_EQ(budget.largest_share(), 800);
  context->pin();
  EXPECT_EQ(budget.largest_share(), 500);
  context->shrink(100);
  EXPECT_EQ(budget.largest_share(), 700);
  context.reset();
  EXPECT_EQ(budget.largest_share(), 800);
}

TEST(MemoryBudget, HoldsWithManyThreads) {
  MemoryBudget budget(1000, 0);
  std::atomic<bool> exceeded{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        auto share = budget.take(static_cast<std::size_t>(1 + (i * 7 + t * 13) % 400));
        if (budget.taken() > 1000) exceeded = true;
        if (share && i % 3 == 0) share->shrink(1);
      }
    });
  }
  for (std::thread& it : threads) it.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(budget.taken(), 0);
}

}  // namespace
}  // namespace kvpress::serve
