// Marks, rewinding and copies of a cache: afterwards it must read, entry by entry, as it did.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "kvpress/cache/kv_cache.h"

namespace kvpress {
namespace {

constexpr std::int64_t kLayers = 2;
constexpr std::int64_t kHeads = 2;
constexpr std::int64_t kDim = 8;

/// All that a cache holds, in float32.
struct Content {
  std::vector<std::vector<std::int32_t>> positions;
  std::vector<std::vector<float>> numbers;
  bool operator==(const Content&) const = default;
};

Content content(const KVCache& cache) {
  Content all;
  for (std::int64_t l = 0; l < kLayers; ++l) {
    for (std::int64_t h = 0; h < kHeads; ++h) {
      const KVHead& head = cache.head(l, h);
      all.positions.emplace_back(head.positions().begin(), head.positions().end());
      std::vector<float> numbers(static_cast<std::size_t>(2 * head.size() * kDim));
      head.keys_as_float(0, head.size(), numbers.data());
      head.values_as_float(0, head.size(), numbers.data() + head.size() * kDim);
      numbers.insert(numbers.end(), head.carried(0).begin(), head.carried(0).end());
      all.numbers.push_back(std::move(numbers));
    }
  }
  return all;
}

struct Kind {
  const char* name;
  CacheFormat format;
  bool renumber = false;
  bool thin = false;
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class Marks : public testing::TestWithParam<Kind> {
 protected:
  Marks()
      : cache_({kLayers, kHeads, kDim, GetParam().format, 1, GetParam().renumber},
               Rope(rope_frequencies(kDim, 10000.0))) {
    add(cache_, 140);  // so many that some are quantized, and few enough that no more are soon
    if (GetParam().thin) cache_.thin_keys(0, 1, std::vector<std::int32_t>{0, 2, 4, 6});
    evict(0, 0, 3);
    evict(1, 1, 4);
    add(cache_, 7);
  }

  void add(KVCache& cache, std::int64_t n) {
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    std::vector<float> key(kDim), value(kDim);
    for (std::int64_t l = 0; l < kLayers; ++l) {
      cache.extend(l, n, next_);
      for (std::int64_t h = 0; h < kHeads; ++h) {
        for (std::int64_t i = cache.head(l, h).size() - n; i < cache.head(l, h).size(); ++i) {
          for (float& it : key) it = uniform(random_);
          for (float& it : value) it = uniform(random_);
          cache.write_row(l, h, i, key.data(), value.data());
          cache.head(l, h).carried(0)[static_cast<std::size_t>(i)] = key[0];
        }
      }
      cache.settle(l);
    }
    next_ += n;
  }

  /// All of a head but every n-th entry from `first` on.
  void evict(std::int64_t l, std::int64_t h, std::int32_t n, std::int64_t first = 0) {
    std::vector<std::int32_t> kept;
    for (std::int32_t i = 0; i < cache_.head(l, h).size(); ++i) {
      if (i < first || i % n != 0) kept.push_back(i);
    }
    cache_.keep(l, h, kept);
  }

  std::mt19937 random_{5};
  std::int64_t next_ = 0;
  KVCache cache_;
};

TEST_P(Marks, RewindingBringsBackWhatWasThere) {
  const Content before = content(cache_);
  const std::size_t bytes = cache_.allocated_bytes();
  const CacheMark mark = cache_.mark();
  for (int round = 0; round < 50; ++round) {  // as in speculative decoding
    add(cache_, 1 + round % 5);
    next_ -= 1 + round % 5;
    cache_.rewind(mark);
    ASSERT_EQ(content(cache_), before) << round;
  }
  cache_.rewind(mark);
  EXPECT_EQ(content(cache_), before);
  EXPECT_LE(cache_.allocated_bytes(), bytes + kLayers * kHeads * 2 * 128 * sizeof(std::int32_t));
}

TEST_P(Marks, MarksStack) {
  const Content first = content(cache_);
  const CacheMark one = cache_.mark();
  add(cache_, 3);
  const Content second = content(cache_);
  const CacheMark two = cache_.mark();
  add(cache_, 4);
  cache_.rewind(two);
  EXPECT_EQ(content(cache_), second);
  cache_.rewind(one);
  EXPECT_EQ(content(cache_), first);
  // What stands there now is not what stood there at the second mark.
  add(cache_, 3);
  EXPECT_THROW(cache_.rewind(two), std::logic_error);
}

TEST_P(Marks, EntriesSinceTheMarkMayBeEvicted) {
  const Content before = content(cache_);
  const CacheMark mark = cache_.mark();
  const std::int64_t n = cache_.head(0, 0).size();
  add(cache_, 12);
  evict(0, 0, 2, n);
  cache_.rewind(mark);
  EXPECT_EQ(content(cache_), before);
}

TEST_P(Marks, WhatWasEvictedBeforeTheMarkDoesNotComeBack) {
  const CacheMark mark = cache_.mark();
  add(cache_, 2);
  evict(1, 0, 7);
  const Content after = content(cache_);
  try {
    cache_.rewind(mark);
    FAIL();
  } catch (const std::logic_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("layer 1, KV head 0: entries before the mark were evicted"));
  }
  EXPECT_EQ(content(cache_), after);
}

TEST_P(Marks, RewrittenValuesAreNoticed) {
  const CacheMark mark = cache_.mark();
  const std::vector<float> value(kDim, 0.5f);
  cache_.head(0, 1).write_value(10, value.data());
  EXPECT_THROW(cache_.rewind(mark), std::logic_error);
}

TEST_P(Marks, CopiesAreIndependent) {
  const CacheMark mark = cache_.mark();
  const Content before = content(cache_);
  KVCache copy = cache_;
  EXPECT_EQ(content(copy), before);
  EXPECT_GT(copy.allocated_bytes(), 0u);
  EXPECT_LE(copy.allocated_bytes(), cache_.allocated_bytes());
  add(copy, 40);
  EXPECT_EQ(content(cache_), before);
  const Content grown = content(copy);
  evict(0, 0, 2);
  add(cache_, 40);
  EXPECT_EQ(content(copy), grown);
  copy = cache_;
  EXPECT_EQ(content(copy), content(cache_));
  EXPECT_THROW(copy.rewind(mark), std::logic_error);  // a copy knows what happened before
}

TEST_P(Marks, EntriesFromAPlaceOnAreTakenAway) {
  const Content before = content(cache_);
  const std::int64_t place = next_;
  add(cache_, 9);
  cache_.drop_from(place);
  EXPECT_EQ(content(cache_), before);
}

TEST_P(Marks, EntriesBeforeAPlaceAreTakenAway) {
  const KVCache whole = cache_;
  const std::size_t bytes = cache_.allocated_bytes();
  for (std::int64_t l = 0; l < kLayers; ++l) cache_.drop_before(l, 70);
  EXPECT_LT(cache_.allocated_bytes(), bytes);
  for (std::int64_t l = 0; l < kLayers; ++l) {
    for (std::int64_t h = 0; h < kHeads; ++h) {
      const KVHead& left = cache_.head(l, h);
      const KVHead& old = whole.head(l, h);
      ASSERT_GT(left.size(), 0);
      const bool quantized = GetParam().format.bits > 0;
      EXPECT_GE(left.positions()[0], quantized && !GetParam().renumber ? 70 - 64 : 70);
      std::vector<float> a(static_cast<std::size_t>(left.size() * kDim)), b(a.size());
      left.values_as_float(0, left.size(), a.data());
      old.values_as_float(old.size() - left.size(), left.size(), b.data());
      if (!quantized) {
        EXPECT_EQ(a, b);
      }
      if (GetParam().renumber) continue;  // keys are turned
      EXPECT_EQ(a, b);
      left.keys_as_float(0, left.size(), a.data());
      old.keys_as_float(old.size() - left.size(), left.size(), b.data());
      EXPECT_EQ(a, b);
      EXPECT_EQ(left.carried(0).back(), old.carried(0).back());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Marks,
                         testing::Values(Kind{"float32", DType::f32}, Kind{"bfloat16", DType::bf16},
                                         Kind{"int8", {DType::f32, 8, 64}}, Kind{"int4", {DType::bf16, 4, 64}},
                                         Kind{"thin", DType::f16, false, true},
                                         Kind{"thin_int8", {DType::f32, 8, 64}, false, true},
                                         Kind{"renumbered", DType::f32, true},
                                         Kind{"renumbered_int8", {DType::f32, 8, 64}, true}),
                         [](const auto& it) { return std::string(it.param.name); });

TEST(CacheMark, RoundingIsNoticed) {
  KVCache cache({1, 1, kDim, CacheFormat(DType::f32, 8, 32)});
  const std::vector<float> row(kDim, 0.3f);
  const auto add = [&](std::int64_t n, std::int64_t first) {
    cache.extend(0, n, first);
    for (std::int64_t i = first; i < first + n; ++i) cache.write_row(0, 0, i, row.data(), row.data());
    cache.settle(0);
  };
  add(70, 0);
  const CacheMark mark = cache.mark();
  add(10, 70);
  cache.rewind(mark);
  EXPECT_EQ(cache.head(0, 0).size(), 70);
  add(40, 70);
  try {
    cache.rewind(mark);
    FAIL();
  } catch (const std::logic_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("rounded"));
  }
  const KVCache other({2, 1, kDim, DType::f32});
  EXPECT_THROW(cache.rewind(other.mark()), std::logic_error);
}

TEST(ChangeLog, OldChangesAreRunTogether) {
  ChangeLog log;
  EXPECT_GT(log.first_since(0), 1000000);
  std::vector<std::uint64_t> times;
  for (std::int64_t i = 0; i < 100; ++i) {
    times.push_back(log.now());
    log.add(10 * i);
  }
  EXPECT_EQ(log.first_since(times[99]), 990);
  EXPECT_EQ(log.first_since(times[90]), 900);
  EXPECT_LE(log.first_since(times[30]), 300);  // never later than what was changed
  EXPECT_GT(log.first_since(log.now()), 1000000);
  log.add(5);
  EXPECT_EQ(log.first_since(times[99]), 5);
}

}  // namespace
}  // namespace kvpress
