#include "kvpress/ops/attention/quantized_kv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "ops/random.h"

namespace kvpress {
namespace {

using testing::random_values;

class QuantizedKVBits : public ::testing::TestWithParam<int> {
 protected:
  float levels() const { return static_cast<float>((1 << GetParam()) - 1); }
  std::vector<std::byte> key_block(const std::vector<float>& keys, std::int64_t d) const {
    std::vector<std::byte> block(kv_block_bytes(d, GetParam()));
    quantize_keys(keys.data(), d, GetParam(), block.data());
    return block;
  }
  std::vector<std::byte> value_block(const std::vector<float>& values, std::int64_t d) const {
    std::vector<std::byte> block(kv_block_bytes(value_lines(d), GetParam()));
    quantize_values(values.data(), d, GetParam(), block.data());
    return block;
  }
};

TEST_P(QuantizedKVBits, KeysAreWithinHalfAStepOfTheirChannelsRange) {
  for (const std::int64_t d : {1, 7, 64}) {
    std::vector<float> keys = random_values(kKVGroup * d, 3);
    for (std::int64_t t = 0; t < kKVGroup; ++t) keys[static_cast<std::size_t>(t * d)] += 100.0f;  // an outlier channel
    const auto block = key_block(keys, d);
    std::vector<float> decoded(keys.size());
    decode_keys(block.data(), d, GetParam(), 0, kKVGroup, decoded.data());
    for (std::int64_t c = 0; c < d; ++c) {
      float low = 1e9f, high = -1e9f;
      for (std::int64_t t = 0; t < kKVGroup; ++t) {
        low = std::min(low, keys[static_cast<std::size_t>(t * d + c)]);
        high = std::max(high, keys[static_cast<std::size_t>(t * d + c)]);
      }
      // The least value is rounded down in float16: to 2^-10 of itself.
      const float step = (high - low + std::fabs(low) / 1024) / levels();
      for (std::int64_t t = 0; t < kKVGroup; ++t) {
        const auto i = static_cast<std::size_t>(t * d + c);
        EXPECT_LE(std::fabs(decoded[i] - keys[i]), 0.502f * step) << "channel " << c << " of " << d;
      }
    }
    // Some of the tokens alone.
    std::vector<float> some(static_cast<std::size_t>(5 * d));
    decode_keys(block.data(), d, GetParam(), 9, 5, some.data());
    EXPECT_TRUE(std::equal(some.begin(), some.end(), decoded.begin() + 9 * d));
  }
}

TEST_P(QuantizedKVBits, ValuesAreWithinHalfAStepOfTheirTokensRange) {
  for (const std::int64_t d : {5, 32, 80}) {
    std::vector<float> values = random_values(kKVGroup * d, 4);
    for (std::int64_t c = 0; c < d; ++c) values[static_cast<std::size_t>(3 * d + c)] *= 50.0f;  // an outlier token
    auto block = value_block(values, d);
    std::vector<float> decoded(values.size());
    const auto check = [&] {
      decode_values(block.data(), d, GetParam(), 0, kKVGroup, decoded.data());
      for (std::int64_t t = 0; t < kKVGroup; ++t) {
        for (std::int64_t c = 0; c < d; c += kKVGroup) {
          const auto begin = values.begin() + t * d + c;
          const auto [low, high] = std::minmax_element(begin, begin + std::min(kKVGroup, d - c));
          const float step = (*high - *low + std::fabs(*low) / 1024) / levels();
          for (std::int64_t i = c; i < std::min(c + kKVGroup, d); ++i) {
            const auto at = static_cast<std::size_t>(t * d + i);
            EXPECT_LE(std::fabs(decoded[at] - values[at]), 0.502f * step) << "token " << t;
          }
        }
      }
    };
    check();
    // A value anew leaves all others as they were.
    const std::vector<float> before = decoded;
    const std::vector<float> other = random_values(d, 9, 3.0f);
    std::copy(other.begin(), other.end(), values.begin() + 7 * d);
    quantize_value(other.data(), d, GetParam(), 7, block.data());
    check();
    for (std::int64_t t = 0; t < kKVGroup; ++t) {
      if (t == 7) continue;
      EXPECT_TRUE(std::equal(before.begin() + t * d, before.begin() + (t + 1) * d, decoded.begin() + t * d));
    }
  }
}

TEST_P(QuantizedKVBits, ThinKeysAreTheSameOfFewerChannels) {
  const std::int64_t d = 16;
  const std::vector<float> keys = random_values(kKVGroup * d, 5);
  const auto block = key_block(keys, d);
  const std::vector<std::int32_t> channels = {0, 3, 15};
  std::vector<std::byte> thin(kv_block_bytes(3, GetParam()));
  take_lines(block.data(), d, GetParam(), channels, thin.data());
  std::vector<float> whole(keys.size()), part(static_cast<std::size_t>(kKVGroup * 3));
  decode_keys(block.data(), d, GetParam(), 0, kKVGroup, whole.data());
  decode_keys(thin.data(), 3, GetParam(), 0, kKVGroup, part.data());
  for (std::size_t t = 0; t < kKVGroup; ++t) {
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_EQ(part[t * 3 + c], whole[t * 16 + static_cast<std::size_t>(channels[c])]);
    }
  }
}

TEST_P(QuantizedKVBits, TakesWhatFloat16DoesNotHold) {
  // Constants exactly; what is beyond float16, or no number, as something finite.
  std::vector<float> keys(kKVGroup * 3, 0.5f);
  for (std::size_t t = 0; t < kKVGroup; ++t) {
    keys[t * 3 + 1] = t % 2 == 0 ? 1e30f : -1e30f;
    keys[t * 3 + 2] = t == 4 ? NAN : 1.0f;
  }
  std::vector<float> decoded(keys.size());
  decode_keys(key_block(keys, 3).data(), 3, GetParam(), 0, kKVGroup, decoded.data());
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    EXPECT_TRUE(std::isfinite(decoded[i]));
    EXPECT_TRUE(i % 3 != 0 || decoded[i] == 0.5f);
  }
}

INSTANTIATE_TEST_SUITE_P(All, QuantizedKVBits, ::testing::Values(8, 4), ::testing::PrintToStringParamName());

}  // namespace
}  // namespace kvpress
