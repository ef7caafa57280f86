#include "kvpress/cache/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "sanitizers.h"

namespace kvpress {
namespace {

/// Entry i of head h gets keys of 100 h + i and values of their negatives.
void fill(KVCache& cache, std::int64_t layer, std::int64_t first, std::int64_t n) {
  const auto d = static_cast<std::size_t>(cache.shape().head_dim);
  cache.extend(layer, n, first);
  for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) {
    const std::int64_t old = cache.head(layer, h).size() - n;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::vector<float> key(d, static_cast<float>(100 * h + first + i));
      const std::vector<float> value(d, -static_cast<float>(100 * h + first + i));
      cache.write_row(layer, h, old + i, key.data(), value.data());
    }
  }
}

class KVCacheOfType : public testing::TestWithParam<DType> {};

TEST_P(KVCacheOfType, KeepsWhatItIsToldAndLetsHeadsDiffer) {
  KVCache cache({2, 2, 8, GetParam(), 1});
  fill(cache, 0, 0, 20);
  fill(cache, 1, 0, 20);
  cache.head(0, 0).carried(0)[7] = 0.5f;
  const std::vector<std::int32_t> some = {0, 7, 19};
  const std::vector<std::int32_t> one = {3};
  cache.keep(0, 0, some);
  cache.keep(0, 1, one);
  EXPECT_EQ(cache.head(0, 0).size(), 3);
  EXPECT_EQ(cache.head(0, 1).size(), 1);
  EXPECT_EQ(cache.head(1, 0).size(), 20);
  EXPECT_DOUBLE_EQ(cache.mean_tokens(), (3 + 1 + 20 + 20) / 4.0);
  EXPECT_EQ(cache.head(0, 0).carried(0)[1], 0.5f);

  fill(cache, 0, 20, 2);
  EXPECT_EQ(std::vector<std::int32_t>(cache.head(0, 1).positions().begin(), cache.head(0, 1).positions().end()),
            (std::vector<std::int32_t>{3, 20, 21}));
  std::vector<float> keys(3 * 8), values(3 * 8);
  cache.head(0, 1).keys_as_float(0, 3, keys.data());
  cache.head(0, 1).values_as_float(0, 3, values.data());
  EXPECT_EQ(keys[0], 103.0f);
  EXPECT_EQ(keys[8], 120.0f);
  EXPECT_EQ(keys[23], 121.0f);
  EXPECT_EQ(values[23], -121.0f);
  EXPECT_EQ(cache.head(0, 0).carried(0)[4], 0.0f);
}

TEST_P(KVCacheOfType, TruncatedHeadsAreAsBefore) {
  KVCache cache({1, 2, 8, GetParam(), 1});
  fill(cache, 0, 0, 600);
  for (int h = 0; h < 2; ++h) cache.keep(0, h, std::vector<std::int32_t>{3, 5, 8});
  const std::size_t before = cache.allocated_bytes();
  cache.head(0, 1).carried(0)[2] = 2.5f;
  fill(cache, 0, 600, 700);
  for (int h = 0; h < 2; ++h) cache.truncate(0, h, 3);
  cache.truncate(0, 1, 9);  // no more than it holds
  EXPECT_EQ(cache.allocated_bytes(), before);
  EXPECT_GT(cache.peak_bytes(), before);
  EXPECT_EQ(std::vector<std::int32_t>(cache.head(0, 1).positions().begin(), cache.head(0, 1).positions().end()),
            (std::vector<std::int32_t>{3, 5, 8}));
  EXPECT_EQ(cache.head(0, 1).carried(0)[2], 2.5f);
  std::vector<float> keys(3 * 8);
  cache.head(0, 1).keys_as_float(0, 3, keys.data());
  EXPECT_EQ(keys[23], 108.0f);
}

TEST_P(KVCacheOfType, ThinKeysReadAsZerosWhereTheyLackChannels) {
  KVCache cache({1, 1, 8, GetParam(), 0});
  fill(cache, 0, 0, 20);
  const std::vector<std::int32_t> channels = {1, 4, 7};
  cache.thin_keys(0, 0, channels);
  fill(cache, 0, 20, 4);
  const KVHead& head = cache.head(0, 0);
  EXPECT_EQ(head.n_thin(), 20);
  EXPECT_EQ(head.size(), 24);
  const auto expect = [&](const KVHead& it, std::int64_t j, float value, bool thin) {
    std::vector<float> key(8);
    it.keys_as_float(j, 1, key.data());
    for (std::int32_t c = 0; c < 8; ++c) {
      const bool there = !thin || c == 1 || c == 4 || c == 7;
      EXPECT_EQ(key[static_cast<std::size_t>(c)], there ? value : 0.0f) << j << " " << c;
    }
  };
  expect(head, 19, 19, true);
  expect(head, 20, 20, false);
  std::vector<float> all(24 * 8);
  head.keys_as_float(0, 24, all.data());
  EXPECT_EQ(all[19 * 8], 0.0f);
  EXPECT_EQ(all[19 * 8 + 7], 19.0f);
  EXPECT_EQ(all[20 * 8], 20.0f);

  KVHead part(cache.shape());
  part.append(head, std::vector<std::int32_t>{3, 21});
  expect(part, 0, 3, true);
  expect(part, 1, 21, false);

  cache.keep(0, 0, std::vector<std::int32_t>{0, 5, 19, 20, 23});
  EXPECT_EQ(head.n_thin(), 3);
  expect(head, 1, 5, true);
  expect(head, 2, 19, true);
  expect(head, 3, 20, false);
  expect(head, 4, 23, false);
  cache.thin_keys(0, 0, {});  // the newer ones, too
  EXPECT_EQ(head.n_thin(), 5);
  expect(head, 4, 23, true);
  std::vector<float> values(5 * 8);
  head.values_as_float(0, 5, values.data());
  EXPECT_EQ(values[4 * 8], -23.0f);
}

TEST(KVCache, ThinKeysGiveTheirMemoryBack) {
  KVCache cache({1, 1, 64, DType::bf16, 0});
  fill(cache, 0, 0, 4096);
  const std::size_t full = cache.allocated_bytes();
  EXPECT_EQ(full, 4096u * (64 * 2 * 2 + 4));
  std::vector<std::int32_t> channels(16);
  std::iota(channels.begin(), channels.end(), 0);
  cache.thin_keys(0, 0, channels);
  EXPECT_EQ(cache.allocated_bytes(), 4096u * (64 * 2 + 16 * 2 + 4) + 16 * 4);
}

TEST(KVCache, RenumberedKeysAreTurnedOverTheGap) {
  Rope rope(rope_frequencies(6, 10000.0));
  rope.prepare(40);
  KVCache cache({1, 1, 8, DType::f32, 0, true}, Rope(rope.inverse_frequencies()));
  const std::vector<float> plain = {1, 2, 3, 4, 5, 6, 7, 8};
  cache.extend(0, 30, 0);
  for (std::int64_t j = 0; j < 30; ++j) {
    std::vector<float> key = plain;
    rope.apply(key.data(), j);
    cache.write_row(0, 0, j, key.data(), key.data());
  }
  const auto expect = [&] {
    for (std::int64_t j = 0; j < cache.head(0, 0).size(); ++j) {
      std::vector<float> key(8), expected = plain;
      rope.apply(expected.data(), j);
      cache.head(0, 0).keys_as_float(j, 1, key.data());
      for (std::size_t c = 0; c < 8; ++c) EXPECT_NEAR(key[c], expected[c], 1e-5) << j;
    }
  };
  cache.keep(0, 0, std::vector<std::int32_t>{0, 1, 5, 9, 20, 21, 29});
  expect();
  EXPECT_EQ(cache.next_position(0, 0, 30), 7);
  KVHead part(cache.shape());
  part.append(cache.head(0, 0), std::vector<std::int32_t>{2, 6});
  EXPECT_EQ(part.rope_position(1), 6);
  EXPECT_EQ(part.positions()[1], 29);
  cache.keep(0, 0, std::vector<std::int32_t>{1, 2, 6});
  expect();
  // Channels that RoPE pairs go together: turning what is thin is exact.
  cache.thin_keys(0, 0, std::vector<std::int32_t>{0, 3, 6});
  cache.keep(0, 0, std::vector<std::int32_t>{2});
  std::vector<float> key(8), expected = plain;
  cache.head(0, 0).keys_as_float(0, 1, key.data());
  for (const std::size_t c : {0, 3, 6}) EXPECT_NEAR(key[c], expected[c], 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Types, KVCacheOfType, testing::Values(DType::f32, DType::bf16, DType::f16),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST(KVCache, EvictingGivesTheMemoryBack) {
  const std::size_t before = resident_bytes();
  KVCache cache({4, 4, 64, DType::f32, 0});
  for (std::int64_t l = 0; l < 4; ++l) fill(cache, l, 0, 8192);
  const std::size_t full = cache.allocated_bytes();
  EXPECT_GE(full, 8192 * KVCache::bytes_per_token(cache.shape()));
  EXPECT_GE(resident_bytes(), before + full / 2);

  std::vector<std::int32_t> quarter(2048);
  std::iota(quarter.begin(), quarter.end(), 1000);
  for (std::int64_t l = 0; l < 4; ++l) {
    for (std::int64_t h = 0; h < 4; ++h) cache.keep(l, h, quarter);
  }
  EXPECT_NEAR(static_cast<double>(cache.allocated_bytes()) / static_cast<double>(full), 0.25, 0.01);
  EXPECT_EQ(cache.peak_bytes(), full);
  // The kernel's count, not ours: three quarters of the pages are gone. A sanitizer's shadow of them stays resident.
  if (!test::kSanitized) {
    EXPECT_LT(resident_bytes(), before + full * 2 / 5);
  }
}

}  // namespace
}  // namespace kvpress
