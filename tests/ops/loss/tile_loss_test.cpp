// Losses on tiles, by the processor's and by the software model of them.
#include "ops/loss/tile_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/base/threads.h"
#include "ops/isa.h"
#include "ops/product/linear_impl.h"
#include "ops/product/quantized.h"
#include "ops/product/twelve_bit.h"
#include "ops/random.h"
#include "ops/weight_types.h"

namespace kvpress {
namespace {

using testing::random_values;
using testing::rounded_to_bf16;
using testing::weight_types;

bool has(Isa isa) {
  const auto there = available_isas();
  return std::find(there.begin(), there.end(), isa) != there.end();
}

const LossKernels* hardware() { return has(Isa::amx) ? amx_loss_kernels() : nullptr; }
const LossKernels* software() { return has(Isa::avx512_bf16) ? software_loss_kernels() : nullptr; }

enum class Held : std::uint8_t { packed, twelve_bit, int8, int4 };
constexpr Held kAllHeld[] = {Held::packed, Held::twelve_bit, Held::int8, Held::int4};

/// Weights of an output product, and what they are to the product once they are held.
struct Head {
  std::int64_t vocab, hidden;
  std::vector<float> weight;  // [vocab, hidden]
  Linear product;

  Head(std::int64_t vocab_, std::int64_t hidden_, std::vector<float> weight_, Held held = Held::packed)
      : vocab(vocab_), hidden(hidden_), weight(rounded_to_bf16(std::move(weight_))) {
    hold(held);
  }
  Head(std::int64_t vocab_, std::int64_t hidden_, Held held = Held::packed)
      : Head(vocab_, hidden_, random_values(vocab_ * hidden_, 1, 1.5f / std::sqrt(static_cast<float>(hidden_))), held) {
  }

 private:
  void hold(Held held) {
    const WeightRows rows = [this](std::int64_t first, std::int64_t n, float* to) {
      std::copy_n(weight.data() + first * hidden, n * hidden, to);
    };
    PageArena arena;
    if (held == Held::packed) {
      product = Linear(vocab, hidden, rows, {}, DType::bf16);
    } else if (held == Held::twelve_bit) {
      product = {
          std::make_shared<TwelveBitWeights>(*TwelveBitWeights::pack(vocab, hidden, rows, arena)), {}, DType::bf16};
    } else {
      quantize(held == Held::int8 ? kInt8Format : kInt4Format, rows, arena);
    }
  }

  void quantize(const QuantFormat& format, const WeightRows& rows, PageArena& arena) {
    const std::int64_t n_blocks = (hidden + 31) / 32;
    const QuantRows quants = [&](std::int64_t first, std::int64_t n, const QuantParts& to) {
      std::vector<float> values(static_cast<std::size_t>(n * hidden));
      rows(first, n, values.data());
      for (std::int64_t r = 0; r < n; ++r) {
        float* const mins = format.has_min ? to.mins + r * n_blocks : nullptr;
        quantize_row(values.data() + r * hidden, hidden, format,
                     {to.codes + r * n_blocks * 32, to.scales + r * n_blocks, mins});
      }
    };
    const auto quantized = std::make_shared<QuantizedWeights>(vocab, hidden, format, quants, arena);
    product = {quantized, {}, DType::bf16};
    const std::int64_t n = (vocab + 15) / 16;
    std::vector<float> decoded(static_cast<std::size_t>(n * 16 * (hidden + 1)));  // plain rows may take one more
    quantized->decode(0, n, {decoded.data(), DType::f32, hidden, n * 16, 0, 1});
    for (std::int64_t v = 0; v < vocab; ++v) {
      for (std::int64_t k = 0; k < hidden; ++k) weight[v * hidden + k] = decoded[k * n * 16 + v];
    }
    weight = rounded_to_bf16(weight);
  }
};

/// The definitions, in double.
std::vector<double> logits_of(const Head& head, const float* state, float soft_cap) {
  std::vector<double> logits(static_cast<std::size_t>(head.vocab));
  for (std::int64_t v = 0; v < head.vocab; ++v) {
    double sum = 0;
    for (std::int64_t k = 0; k < head.hidden; ++k) {
      sum += static_cast<double>(state[k]) * static_cast<double>(head.weight[v * head.hidden + k]);
    }
    logits[v] = soft_cap > 0 ? soft_cap * std::tanh(sum / soft_cap) : sum;
  }
  return logits;
}

double log_sum_of(const std::vector<double>& logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double it : logits) sum += std::exp(it - max);
  return max + std::log(sum);
}

double divergence_of(const std::vector<double>& p, const std::vector<double>& q) {
  const double p_log = log_sum_of(p), q_log = log_sum_of(q);
  double sum = 0;
  for (std::size_t v = 0; v < p.size(); ++v) sum += std::exp(p[v] - p_log) * ((p[v] - p_log) - (q[v] - q_log));
  return sum;
}

std::int64_t top_of(const std::vector<double>& logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

/// Whether the largest logit is so by more than what rounding does.
bool has_clear_top(std::vector<double> logits) {
  std::sort(logits.begin(), logits.end());
  return logits.size() < 2 || logits.back() - logits[logits.size() - 2] > 1e-5;
}

/// What is said of rows of hidden states.
struct Losses {
  std::vector<float> nll, log_sums;
};

struct Compared {
  std::vector<float> kl;
  std::vector<std::uint8_t> same_top;
};

std::vector<std::int32_t> some_targets(std::int64_t rows, std::int64_t vocab) {
  std::vector<std::int32_t> targets;
  for (std::int64_t r = 0; r < rows; ++r) targets.push_back(static_cast<std::int32_t>((vocab - 1 + r * 37) % vocab));
  return targets;
}

Losses losses_of(const LossKernels& kernels, const OutputHead& head, Matrix<const float> hidden,
                 std::span<const std::int32_t> targets) {
  Losses losses{std::vector<float>(targets.size()), std::vector<float>(targets.size())};
  tile_cross_entropy(kernels, hidden, head, targets, losses.nll, losses.log_sums);
  return losses;
}

Compared compared(const LossKernels& kernels, const OutputHead& head, Matrix<const float> p, Matrix<const float> q,
                  const std::vector<float>& p_logs, const std::vector<float>& q_logs) {
  Compared result{std::vector<float>(p_logs.size()), std::vector<std::uint8_t>(p_logs.size())};
  tile_compare(kernels, {p, p_logs}, {q, q_logs}, head, result.kl, result.same_top);
  return result;
}

class TileLoss : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    kernels_ = GetParam() ? hardware() : software();
    if (kernels_ == nullptr) GTEST_SKIP() << "this processor has no " << (GetParam() ? "AMX" : "AVX-512 BF16");
    if (!has_fast_bfloat16()) GTEST_SKIP() << "products of bfloat16 are not packed for tiles here";
  }

  /// Every row, and how `changed` states compare with them. Sums in float32 are the only difference.
  void expect_like_definition(const Head& head, std::int64_t rows, float soft_cap, float tolerance = 1e-5f) {
    const OutputHead output(head.product, soft_cap);
    ASSERT_TRUE(head.product.impl().has_tiles());
    const std::int64_t stride = head.hidden + 3;  // rows with gaps
    const auto p = rounded_to_bf16(random_values(rows * stride, 2));
    auto q = random_values(rows * stride, 3, 0.3f);
    for (std::size_t i = 0; i < q.size(); ++i) q[i] += p[i];
    q = rounded_to_bf16(q);
    const Matrix<const float> full(p.data(), rows, head.hidden, stride), other(q.data(), rows, head.hidden, stride);
    const auto targets = some_targets(rows, head.vocab);
    const Losses of_full = losses_of(*kernels_, output, full, targets);
    const Losses of_other = losses_of(*kernels_, output, other, targets);
    const Compared both = compared(*kernels_, output, full, other, of_full.log_sums, of_other.log_sums);
    std::int64_t n_clear = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto i = static_cast<std::size_t>(r);
      const auto logits = logits_of(head, full.row(r), soft_cap);
      const auto others = logits_of(head, other.row(r), soft_cap);
      ASSERT_NEAR(of_full.log_sums[i], log_sum_of(logits), tolerance) << "row " << r;
      ASSERT_NEAR(of_full.nll[i], log_sum_of(logits) - logits[targets[i]], tolerance) << "row " << r;
      ASSERT_NEAR(both.kl[i], divergence_of(logits, others), tolerance) << "row " << r;
      if (!has_clear_top(logits) || !has_clear_top(others)) continue;
      ASSERT_EQ(both.same_top[i] != 0, top_of(logits) == top_of(others)) << "row " << r;
      ++n_clear;
    }
    EXPECT_GE(10 * n_clear, 9 * rows);
  }

  const LossKernels* kernels_ = nullptr;
};

TEST_P(TileLoss, EqualsTheDefinitionHoweverWeightsAreHeld) {
  for (const Held held : kAllHeld) {
    for (const float soft_cap : {0.0f, 5.0f}) {
      SCOPED_TRACE(::testing::Message() << "held " << static_cast<int>(held) << ", soft cap " << soft_cap);
      expect_like_definition(Head(4001, 48, held), 70, soft_cap);
    }
  }
}

/// Vocabularies that end within a vector, a pair of vectors, a panel; hidden sizes that end within a tile, and those of
/// which a part is multiplied at a time; rows that end within a tile.
TEST_P(TileLoss, EqualsTheDefinitionForEverySize) {
  for (const std::int64_t vocab : {1, 15, 16, 17, 33, 47, 64, 127, 128, 129, 200, 2048, 2100}) {
    for (const Held held : {Held::packed, Held::twelve_bit}) {
      SCOPED_TRACE(::testing::Message() << "vocab " << vocab << ", held " << static_cast<int>(held));
      expect_like_definition(Head(vocab, 40, held), 37, 0);
    }
  }
  for (const std::int64_t hidden : {1, 2, 31, 32, 33, 63, 64, 640, 641, 700, 1300}) {
    for (const Held held : kAllHeld) {
      SCOPED_TRACE(::testing::Message() << "hidden " << hidden << ", held " << static_cast<int>(held));
      expect_like_definition(Head(300, hidden, held), 33, 0);
    }
  }
  for (const std::int64_t rows : {1, 5, 16, 31, 32, 511, 513, 1100}) {
    SCOPED_TRACE(::testing::Message() << "rows " << rows);
    expect_like_definition(Head(270, 24), rows, 0);
  }
  expect_like_definition(Head(20, 8), 5000, 0);
}

/// A column of states that is 1 and weights that walk: logits of all rows begin far below 0 or above it and move far.
TEST_P(TileLoss, FollowsLogitsThatMoveFar) {
  const std::vector<float> walks[] = {{-400, -304, 504, 90, 696, -904},
                                      {608, -200, 600, 592, 0, 648},
                                      {-120, -100, -110},
                                      {-1, -21, 0, 61},
                                      {3000, 2992}};
  for (const auto& walk : walks) {
    const std::int64_t vocab = 128 * std::ssize(walk) * 3 + 9, hidden = 16;
    auto weight = random_values(vocab * hidden, 1, 0.3f);
    for (std::int64_t v = 0; v < vocab; ++v) {
      weight[v * hidden] = walk[std::min<std::size_t>(walk.size() - 1, static_cast<std::size_t>(v / 384))];
    }
    const Head head(vocab, hidden, weight);
    auto states = rounded_to_bf16(random_values(40 * hidden, 2));
    for (std::int64_t r = 0; r < 40; ++r) states[r * hidden] = 1;
    const Matrix<const float> rows(states.data(), 40, hidden);
    const auto targets = some_targets(40, vocab);
    const Losses losses = losses_of(*kernels_, head.product, rows, targets);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const auto logits = logits_of(head, rows.row(static_cast<std::int64_t>(i)), 0);
      // A logit of 3,000 in float32 is off by as much as 1.2e-4.
      const double expected = log_sum_of(logits);
      ASSERT_NEAR(losses.log_sums[i], expected, 1e-5 + 1e-7 * std::fabs(expected));
      ASSERT_NEAR(losses.nll[i], expected - logits[targets[i]], 1e-5 + 2e-7 * (std::fabs(expected) + 1000));
    }
  }
}

TEST_P(TileLoss, OfLogitsThatAreNotFiniteIsNoNumber) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::int64_t vocab = 3000, hidden = 48, rows = 45;
  const std::vector<std::int32_t> targets(static_cast<std::size_t>(rows), 7);
  for (const float soft_cap : {0.0f, 5.0f}) {
    for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
      const Head good(vocab, hidden);
      auto states = random_values(rows * hidden, 2);
      const auto before = states;
      states[2 * hidden + 5] = bad;
      const Matrix<const float> finite(before.data(), rows, hidden), some(states.data(), rows, hidden);
      const OutputHead output(good.product, soft_cap);
      const Losses losses = losses_of(*kernels_, output, some, targets);
      // What the sums of the rows say does not matter.
      const std::vector<float> logs(targets.size(), 8.0f);
      const Compared both = compared(*kernels_, output, finite, some, logs, logs);
      const Compared turned = compared(*kernels_, output, some, finite, logs, logs);
      for (std::size_t i = 0; i < targets.size(); ++i) {
        EXPECT_EQ(std::isfinite(losses.nll[i]), i != 2);
        EXPECT_EQ(std::isfinite(losses.log_sums[i]), i != 2);
        EXPECT_EQ(std::isfinite(both.kl[i]), i != 2);
        EXPECT_EQ(std::isfinite(turned.kl[i]), i != 2);
      }
      // A single word, whose logits alone are not finite.
      auto weight = good.weight;
      weight[2900 * hidden + 1] = bad;
      const Head of_bad(vocab, hidden, weight);
      for (const float nll : losses_of(*kernels_, {of_bad.product, soft_cap}, finite, targets).nll) {
        EXPECT_FALSE(std::isfinite(nll));
      }
    }
  }
}

TEST_P(TileLoss, NamesTheFirstOfEqualLogits) {
  const std::int64_t vocab = 2500, hidden = 16;
  auto weight = random_values(vocab * hidden, 1, 0.1f);
  // Words 130 and 2,200 are equal and the largest for states of ones; 131 is for those of minus ones.
  for (const std::int64_t v : {130, 2200}) std::fill_n(weight.data() + v * hidden, hidden, 1.0f);
  std::fill_n(weight.data() + 131 * hidden, hidden, -1.0f);
  const Head head(vocab, hidden, weight);
  std::vector<float> ones(static_cast<std::size_t>(3 * hidden), 1.0f), others = ones;
  std::fill_n(others.begin() + hidden, hidden, -1.0f);
  for (std::int64_t k = 0; k < hidden; ++k) others[2 * hidden + k] = 0.5f;
  const std::vector<float> logs(3, 16.0f);
  const Compared both =
      compared(*kernels_, head.product, {ones.data(), 3, hidden}, {others.data(), 3, hidden}, logs, logs);
  EXPECT_EQ(both.same_top, (std::vector<std::uint8_t>{1, 0, 1}));
}

TEST_P(TileLoss, OfEqualRunsHasNoDivergence) {
  const Head head(4001, 48);
  const auto states = random_values(70 * 48, 2);
  const Matrix<const float> rows(states.data(), 70, 48);
  const Losses losses = losses_of(*kernels_, head.product, rows, some_targets(70, 4001));
  const Compared both = compared(*kernels_, head.product, rows, rows, losses.log_sums, losses.log_sums);
  EXPECT_EQ(both.kl, std::vector<float>(70, 0.0f));
  EXPECT_EQ(both.same_top, std::vector<std::uint8_t>(70, 1));
}

/// Nor on which other rows come with it.
TEST_P(TileLoss, DoesNotDependOnThreads) {
  const Head head(5000, 100, Held::twelve_bit);
  const std::int64_t rows = 1200;
  const auto states = random_values(rows * 100, 2), others = random_values(rows * 100, 3);
  const Matrix<const float> p(states.data(), rows, 100), q(others.data(), rows, 100);
  const auto targets = some_targets(rows, 5000);
  const int before = threads();
  set_threads(1);
  const Losses alone = losses_of(*kernels_, head.product, p, targets);
  const Compared compared_alone = compared(*kernels_, head.product, p, q, alone.log_sums, alone.log_sums);
  set_threads(3);
  const Losses together = losses_of(*kernels_, head.product, p, targets);
  const Compared compared_together = compared(*kernels_, head.product, p, q, alone.log_sums, alone.log_sums);
  set_threads(before);
  EXPECT_EQ(alone.nll, together.nll);
  EXPECT_EQ(alone.log_sums, together.log_sums);
  EXPECT_EQ(compared_alone.kl, compared_together.kl);
  const Losses part = losses_of(*kernels_, head.product, p.block(600, 50), std::span(targets).subspan(600, 50));
  EXPECT_TRUE(std::equal(part.nll.begin(), part.nll.end(), alone.nll.begin() + 600));
}

INSTANTIATE_TEST_SUITE_P(Kernels, TileLoss, ::testing::Bool(),
                         [](const auto& of) { return std::string(of.param ? "Amx" : "Software"); });

TEST(TileLossModel, EqualsTheProcessorBitByBit) {
  if (hardware() == nullptr || !has_fast_bfloat16()) GTEST_SKIP() << "this processor has no AMX";
  for (const std::int64_t hidden : {48, 700}) {
    const Head head(3000, hidden);
    const auto states = random_values(100 * hidden, 2), others = random_values(100 * hidden, 3);
    const Matrix<const float> p(states.data(), 100, hidden), q(others.data(), 100, hidden);
    const auto targets = some_targets(100, 3000);
    const Losses expected = losses_of(*hardware(), head.product, p, targets);
    const Losses actual = losses_of(*software(), head.product, p, targets);
    EXPECT_EQ(actual.nll, expected.nll);
    EXPECT_EQ(actual.log_sums, expected.log_sums);
    EXPECT_EQ(compared(*software(), head.product, p, q, expected.log_sums, expected.log_sums).kl,
              compared(*hardware(), head.product, p, q, expected.log_sums, expected.log_sums).kl);
  }
}

TEST(TileLossChoice, LeavesOtherProductsAlone) {
  const std::vector<float> weight(40 * 32, 1.0f), bias(40, 1.0f);
  const WeightRows rows = [&](std::int64_t first, std::int64_t n, float* to) {
    std::copy_n(weight.data() + first * 32, n * 32, to);
  };
  const Linear in_float(40, 32, rows, {}, DType::f32);
  EXPECT_EQ(loss_kernels_for(in_float), nullptr);
  if (!has_fast_bfloat16()) return;
  const Linear with_bias(40, 32, rows, bias, DType::bf16);
  EXPECT_EQ(loss_kernels_for(with_bias), nullptr);
  const Linear wide(
      16, 4096, [](std::int64_t, std::int64_t n, float* to) { std::fill_n(to, n * 4096, 1.0f); }, {}, DType::bf16);
  EXPECT_EQ(loss_kernels_for(wide), nullptr);
  const Linear plain(40, 32, rows, {}, DType::bf16);
  EXPECT_EQ(loss_kernels_for(plain) != nullptr, isa() == Isa::amx || isa() == Isa::amx_software);
}

}  // namespace
}  // namespace kvpress
