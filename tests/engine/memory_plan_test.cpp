// The memory plan's cache against what caches come to hold.
#include "kvpress/engine/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kvpress/model/model.h"
#include "small_model.h"

namespace kvpress {
namespace {

/// Heads large enough for pages to matter little.
ModelConfig with_windows(std::int64_t n_windows, std::int64_t window) {
  ModelConfig config = test::small_config(4);
  config.head_dim = 128;
  for (std::int64_t l = 0; l < n_windows; ++l) config.layers[static_cast<std::size_t>(l)].window = window;
  return config;
}

std::size_t peak_of(const ModelConfig& config, const CacheFormat& format, std::int64_t n_block, std::int64_t n) {
  const Model model = random_model(config, {false, DType::f32}, 3);
  const auto tokens = test::random_text(n).ids;
  KVCache cache = model.make_cache(format);
  for (std::int64_t at = 0; at < n; at += n_block) {
    const std::int64_t n_new = std::min(n_block, n - at);
    model.forward({std::span(tokens).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(n_new)),
                   at,
                   cache,
                   nullptr,
                   {}});
  }
  return cache.peak_bytes();
}

TEST(MemoryPlan, CountsWhatLayersWithWindowsHold) {
  constexpr std::int64_t kBlock = 256, kTokens = 1024;
  for (const CacheFormat& format :
       {CacheFormat(DType::f32), CacheFormat(DType::bf16), CacheFormat(DType::f32, 8, 64)}) {
    for (const std::int64_t n_windows : {0, 2, 4}) {
      for (const std::int64_t window : {40, 200}) {
        const ModelConfig config = with_windows(n_windows, window);
        const double planned = plan_memory(config, 0, format, kBlock, kTokens).cache;
        const auto peak = static_cast<double>(peak_of(config, format, kBlock, kTokens));
        EXPECT_LE(peak, planned * 1.05) << to_string(format) << ", " << n_windows << " of " << window;
        EXPECT_GE(peak, planned * 0.6) << to_string(format) << ", " << n_windows << " of " << window;
      }
    }
  }
}

TEST(MemoryPlan, ATokenAddsNothingToWindowsThatAreFull) {
  const ModelConfig config = with_windows(3, 200);
  const double a_layer = cache_bytes_per_token(with_windows(0, 0), {DType::f32}, 0) / 4;
  EXPECT_EQ(a_layer, 2 * (2 * 128 * 4 + 4));
  EXPECT_EQ(cache_bytes_per_token(config, {DType::f32}, 0), 4 * a_layer);
  EXPECT_EQ(cache_bytes_per_token(config, {DType::f32}, 199), 4 * a_layer);
  EXPECT_EQ(cache_bytes_per_token(config, {DType::f32}, 200), a_layer);
  EXPECT_EQ(cache_bytes_per_token(with_windows(4, 200), {DType::f32}, 200), 0);
}

}  // namespace
}  // namespace kvpress
