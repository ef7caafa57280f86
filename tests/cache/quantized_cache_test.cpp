// A cache in 8 and 4 bits beside one that is not: the same entries after whatever is done to both, within what a
// group's range allows.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "kvpress/cache/kv_cache.h"

namespace kvpress {
namespace {

constexpr std::int64_t kHeadDim = 16;
constexpr std::int64_t kHeads = 2;

class QuantizedCache : public testing::TestWithParam<int> {
 protected:
  QuantizedCache() { make(DType::f32, false); }

  void make(DType type, bool renumber, std::int64_t residual = 64) {
    const Rope rope(rope_frequencies(kHeadDim, 10000.0));
    plain_ = std::make_unique<KVCache>(CacheShape{1, kHeads, kHeadDim, DType::f32, 1, renumber}, rope);
    quantized_ = std::make_unique<KVCache>(
        CacheShape{1, kHeads, kHeadDim, CacheFormat(type, GetParam(), residual), 1, renumber}, rope);
  }

  /// n more tokens with keys and values in [-1, 1].
  void add(std::int64_t n) {
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    std::vector<float> key(kHeadDim), value(kHeadDim);
    plain_->extend(0, n, next_);
    quantized_->extend(0, n, next_);
    for (std::int64_t h = 0; h < kHeads; ++h) {
      const std::int64_t first = plain_->head(0, h).size() - n;
      for (std::int64_t i = first; i < first + n; ++i) {
        for (float& x : key) x = uniform(random_);
        for (float& x : value) x = uniform(random_);
        plain_->write_row(0, h, i, key.data(), value.data());
        quantized_->write_row(0, h, i, key.data(), value.data());
        plain_->head(0, h).carried(0)[static_cast<std::size_t>(i)] = static_cast<float>(next_ + i);
        quantized_->head(0, h).carried(0)[static_cast<std::size_t>(i)] = static_cast<float>(next_ + i);
      }
    }
    next_ += n;
    quantized_->settle(0);
  }

  void keep(std::int64_t h, const std::vector<std::int32_t>& indices) {
    plain_->keep(0, h, indices);
    quantized_->keep(0, h, indices);
  }

  /// Each entry with this probability.
  std::vector<std::int32_t> some(std::int64_t h, double probability) {
    std::bernoulli_distribution stays(probability);
    std::vector<std::int32_t> indices;
    for (std::int32_t i = 0; i < plain_->head(0, h).size(); ++i) {
      if (stays(random_)) indices.push_back(i);
    }
    return indices;
  }

  /// `times`: how often entries may have been quantized.
  void expect_same(int times = 1) {
    // A channel's or token's range is at most 2, after turning 2 sqrt(2).
    const double step = 2.83 / ((1 << GetParam()) - 1);
    const double tolerance = times * (0.5 * step + 0.003);
    for (std::int64_t h = 0; h < kHeads; ++h) {
      const KVHead& expected = plain_->head(0, h);
      const KVHead& actual = quantized_->head(0, h);
      ASSERT_EQ(actual.size(), expected.size());
      EXPECT_TRUE(std::equal(expected.positions().begin(), expected.positions().end(), actual.positions().begin()));
      EXPECT_TRUE(std::equal(expected.carried(0).begin(), expected.carried(0).end(), actual.carried(0).begin()));
      const auto n = static_cast<std::size_t>(expected.size() * kHeadDim);
      std::vector<float> a(n), b(n);
      expected.keys_as_float(0, expected.size(), a.data());
      actual.keys_as_float(0, expected.size(), b.data());
      for (std::size_t i = 0; i < n; ++i) ASSERT_NEAR(a[i], b[i], tolerance) << "key " << i / kHeadDim;
      expected.values_as_float(0, expected.size(), a.data());
      actual.values_as_float(0, expected.size(), b.data());
      for (std::size_t i = 0; i < n; ++i) ASSERT_NEAR(a[i], b[i], tolerance) << "value " << i / kHeadDim;
    }
  }
  std::int64_t n_quantized(std::int64_t h = 0) const { return quantized_->head(0, h).n_quantized(); }

  std::unique_ptr<KVCache> plain_, quantized_;
  std::int64_t next_ = 0;
  std::mt19937 random_{7};
};

TEST_P(QuantizedCache, LeavesTheNewestAsTheyAre) {
  add(95);
  EXPECT_EQ(n_quantized(), 0);
  add(1);
  EXPECT_EQ(n_quantized(), 32);
  for (int i = 0; i < 100; ++i) add(1);
  EXPECT_EQ(n_quantized(), 128);  // 196 tokens: 68 newest
  add(1000);
  EXPECT_EQ(n_quantized(), (1196 - 64) / 32 * 32);
  expect_same();
  std::vector<float> a(64 * kHeadDim), b(a.size());
  plain_->head(0, 1).keys_as_float(1196 - 64, 64, a.data());
  quantized_->head(0, 1).keys_as_float(1196 - 64, 64, b.data());
  EXPECT_EQ(a, b);
}

TEST_P(QuantizedCache, HoldsAboutItsBitsOfBytes) {
  make(DType::bf16, false);
  KVCache plain({1, kHeads, kHeadDim, DType::bf16, 1});
  plain.extend(0, 32768, 0);
  add(32768);
  // A scale and a least value of 16 bits each for 32 numbers are one bit more for each. Positions and what presses
  // carry stay 4 bytes each. A head of 16 channels takes lines of 32.
  const double per_token = kHeadDim * (GetParam() + 1) / 8.0 + 32 * (GetParam() + 1) / 8.0 + 8;
  const double expected = per_token / (4 * kHeadDim + 8);
  EXPECT_NEAR(static_cast<double>(quantized_->allocated_bytes()) / static_cast<double>(plain.allocated_bytes()),
              expected, 0.02);
  EXPECT_NEAR(static_cast<double>(KVCache::bytes_per_token(quantized_->shape())), kHeads * per_token, 1);
}

TEST_P(QuantizedCache, EvictsAnyEntries) {
  add(400);
  for (std::int64_t h = 0; h < kHeads; ++h) keep(h, some(h, 0.6));
  EXPECT_EQ(n_quantized() % 32, 0);
  expect_same(2);
  add(70);
  expect_same(3);
  keep(0, {5, 40, 41});
  keep(1, {});
  expect_same(4);
  add(300);
  expect_same(5);
}

TEST_P(QuantizedCache, DoesNotQuantizeGroupsAnewThatStay) {
  add(300);
  std::vector<float> before(96 * kHeadDim), after(before.size());
  quantized_->head(0, 0).keys_as_float(0, 96, before.data());
  std::vector<std::int32_t> indices(100);
  std::iota(indices.begin(), indices.end(), 0);
  indices.push_back(299);
  keep(0, indices);
  EXPECT_EQ(n_quantized(), 96);
  quantized_->head(0, 0).keys_as_float(0, 96, after.data());
  EXPECT_EQ(before, after);
  expect_same();
}

TEST_P(QuantizedCache, TurnsRenumberedKeys) {
  make(DType::f32, true);
  add(300);
  for (std::int64_t h = 0; h < kHeads; ++h) keep(h, some(h, 0.5));
  expect_same(3);
  add(200);
  for (std::int64_t h = 0; h < kHeads; ++h) keep(h, some(h, 0.7));
  expect_same(6);
}

TEST_P(QuantizedCache, IsCutAnywhere) {
  for (const std::int64_t n : {280, 230, 224, 193, 5, 0}) {
    make(DType::f32, false);
    next_ = 0;
    add(300);
    for (std::int64_t h = 0; h < kHeads; ++h) {
      plain_->truncate(0, h, n);
      quantized_->truncate(0, h, n);
    }
    expect_same();
    add(150);
    expect_same(2);
  }
}

TEST_P(QuantizedCache, WritesSingleValues) {
  add(200);
  const std::vector<float> value(kHeadDim, 0.25f);
  for (const std::int64_t i : {0, 77, 199}) {
    plain_->head(0, 1).write_value(i, value.data());
    quantized_->head(0, 1).write_value(i, value.data());
  }
  expect_same();
}

TEST_P(QuantizedCache, ThinsKeys) {
  const std::vector<std::int32_t> channels = {0, 5, 6, 15};
  add(300);
  const auto thin = [&] {
    for (std::int64_t h = 0; h < kHeads; ++h) {
      plain_->thin_keys(0, h, channels);
      quantized_->thin_keys(0, h, channels);
    }
  };
  const std::size_t before = quantized_->allocated_bytes();
  thin();
  EXPECT_EQ(quantized_->head(0, 0).n_thin(), 300);
  EXPECT_LE(quantized_->allocated_bytes(), before);
  expect_same();
  add(250);
  expect_same();
  for (std::int64_t h = 0; h < kHeads; ++h) keep(h, some(h, 0.6));
  expect_same(2);
  add(40);
  expect_same(3);
  thin();
  expect_same(3);
  for (std::int64_t h = 0; h < kHeads; ++h) keep(h, some(h, 0.3));
  expect_same(4);
}

TEST_P(QuantizedCache, PartsAreCopiedOut) {
  add(300);
  KVHead part(quantized_->shape());
  part.append(quantized_->head(0, 0), std::vector<std::int32_t>{3, 210, 299});
  std::vector<float> a(3 * kHeadDim), b(kHeadDim);
  part.keys_as_float(0, 3, a.data());
  const std::int64_t from[] = {3, 210, 299};
  for (std::size_t i = 0; i < 3; ++i) {
    quantized_->head(0, 0).keys_as_float(from[i], 1, b.data());
    EXPECT_TRUE(std::equal(b.begin(), b.end(), a.begin() + static_cast<std::ptrdiff_t>(i * kHeadDim)));
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, QuantizedCache, testing::Values(8, 4), testing::PrintToStringParamName());

TEST(CacheFormat, IsWrittenAsItIsRead) {
  for (const char* text : {"float32", "bfloat16", "float16", "int8", "int4"}) {
    EXPECT_EQ(to_string(parse_cache_format(text, DType::bf16, "--cache-dtype")), text);
  }
  EXPECT_EQ(parse_cache_format("auto", DType::bf16, "--cache-dtype"), CacheFormat(DType::bf16));
  EXPECT_EQ(parse_cache_format("int4", DType::f16, "--cache-dtype").type, DType::f16);
}

}  // namespace
}  // namespace kvpress
