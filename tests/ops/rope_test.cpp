#include "kvpress/ops/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <vector>

#include "ops/random.h"

namespace kvpress {
namespace {

TEST(Rope, TurnsEachPairOfChannelsByItsAngle) {
  for (const std::int64_t rotary_dim : {2, 16, 32, 64}) {
    const auto frequencies = rope_frequencies(rotary_dim, 10000.0);
    Rope rope(frequencies);
    rope.prepare(10);
    rope.prepare(3000);  // grows and keeps what it has
    const std::int64_t half = rotary_dim / 2;
    for (const std::int64_t position : {0, 1, 9, 10, 2999}) {
      const auto before = testing::random_values(rotary_dim + 5, static_cast<std::uint32_t>(position));
      auto after = before;
      rope.apply(after.data(), position);
      for (std::int64_t i = 0; i < half; ++i) {
        const auto low = static_cast<std::size_t>(i);
        const auto high = static_cast<std::size_t>(i + half);
        const float angle = static_cast<float>(position) * frequencies[low];
        const auto turned = std::complex<double>(before[low], before[high]) * std::polar(1.0, double{angle});
        EXPECT_NEAR(after[low], turned.real(), 2e-6);
        EXPECT_NEAR(after[high], turned.imag(), 2e-6);
      }
      for (auto i = static_cast<std::size_t>(rotary_dim); i < before.size(); ++i) EXPECT_EQ(after[i], before[i]);
    }
  }
}

TEST(Rope, UndoTurnsBack) {
  Rope rope(rope_frequencies(16, 10000.0));
  rope.prepare(3000);
  for (const std::int64_t position : {0, 1, 777, 2999}) {
    const auto before = testing::random_values(24, static_cast<std::uint32_t>(position));
    auto after = before;
    rope.apply(after.data(), position);
    EXPECT_EQ(after[0] == before[0], position == 0);
    rope.undo(after.data(), position);
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-6);
    for (std::size_t i = 16; i < before.size(); ++i) EXPECT_EQ(after[i], before[i]);
  }
}

TEST(Rope, ScoresDependOnTheDistanceOnly) {
  Rope rope(rope_frequencies(32, 10000.0));
  rope.prepare(200);
  const auto query = testing::random_values(32, 1);
  const auto key = testing::random_values(32, 2);
  const auto score = [&](std::int64_t p, std::int64_t q) {
    auto a = query;
    auto b = key;
    rope.apply(a.data(), p);
    rope.apply(b.data(), q);
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
    return sum;
  };
  EXPECT_NEAR(score(50, 20), score(180, 150), 1e-4);
}

TEST(Rope, FrequenciesFallGeometrically) {
  const auto f = rope_frequencies(64, 10000.0);
  ASSERT_EQ(f.size(), 32u);
  for (std::size_t i = 0; i < f.size(); ++i) {
    const double exact = std::pow(10000.0, -static_cast<double>(i) / 32.0);
    EXPECT_NEAR(f[i], exact, 1e-6 * exact);
  }
}

TEST(Rope, Llama3ScalingLeavesHighFrequenciesAndStretchesLow) {
  auto f = rope_frequencies(128, 500000.0);
  const auto before = f;
  const Llama3Scaling scaling;
  scale_frequencies(f, scaling);
  EXPECT_EQ(f.front(), before.front());
  EXPECT_FLOAT_EQ(f.back(), before.back() / 8.0f);
  for (std::size_t i = 0; i < f.size(); ++i) {
    EXPECT_LE(f[i], before[i]);
    EXPECT_GE(f[i], before[i] / 8.0f * 0.999f);
  }
}

}  // namespace
}  // namespace kvpress
