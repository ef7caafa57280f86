// Budgets as they are written, and bytes as tokens.
#include "kvpress/press/budget.h"

#include <gtest/gtest.h>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

TEST(Budget, IsARatioTokensOrBytes) {
  EXPECT_EQ(parse_budget("0.5", "budget"), Budget::of_ratio(0.5));
  EXPECT_EQ(parse_budget("0", "budget"), Budget::of_ratio(0));
  EXPECT_EQ(parse_budget("1", "budget"), Budget::of_tokens(1));
  EXPECT_EQ(parse_budget("2048", "budget"), Budget::of_tokens(2048));
  EXPECT_EQ(parse_budget("256MiB", "budget"), Budget::of_bytes(256u << 20));
  EXPECT_EQ(parse_budget("1.5GiB", "budget"), Budget::of_bytes(3u << 29));
  EXPECT_EQ(parse_budget("64KB", "budget"), Budget::of_bytes(64000));
}

TEST(Budget, WhatIsNoneIsRefusedBySayingWhatWouldBe) {
  for (const char* text : {"", "x", "-1", "2.5", "nan", "inf", "1e12", "64 MiB", "64mib", "0MiB", "1e30GiB", "5MiBs"}) {
    try {
      parse_budget(text, "budget");
      ADD_FAILURE() << text;
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find("budget: '" + std::string(text) + "' is no budget; give a ratio"),
                std::string::npos)
          << error.what();
    }
  }
}

TEST(Budget, IsWrittenAsItIsRead) {
  for (const char* text : {"0.25", "2048", "256MiB", "3GiB", "64KiB"}) {
    EXPECT_EQ(to_string(parse_budget(text, "budget")), text);
  }
}

TEST(Budget, BytesAreTokensByTheShapeOfTheCache) {
  for (const CacheFormat& format :
       {CacheFormat(DType::f32), CacheFormat(DType::bf16), CacheFormat(DType::bf16, 8, 64)}) {
    const CacheShape shape{.n_layers = 4, .n_kv_heads = 2, .head_dim = 64, .format = format, .n_carried = 1};
    for (const std::size_t bytes : {1u << 20, 10u << 20, 100u << 20}) {
      const Budget budget = Budget::of_bytes(bytes).in_tokens(shape);
      ASSERT_TRUE(budget.target_size);
      EXPECT_LE(KVCache::most_bytes(shape, *budget.target_size), bytes);
      EXPECT_GT(KVCache::most_bytes(shape, *budget.target_size + 1), bytes);
    }
    EXPECT_EQ(Budget::of_tokens(9).in_tokens(shape), Budget::of_tokens(9));
    EXPECT_EQ(Budget::of_ratio(0.5).in_tokens(shape), Budget::of_ratio(0.5));
    EXPECT_THROW(Budget::of_bytes(100).in_tokens(shape), UsageError);
  }
}

}  // namespace
}  // namespace kvpress
