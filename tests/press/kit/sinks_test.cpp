// Softmaxes with a sink in their denominator, against plain loops.
#include "press/kit/sinks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kvpress/ops/attention/attention.h"

namespace kvpress {
namespace {

TEST(Sinks, TakeTheirShareOfEachHeadsSoftmax) {
  constexpr std::int64_t kHeads = 4, kKVHeads = 2, kGroup = 2, kDim = 16, kNew = 3;
  const std::vector<std::int64_t> sizes = {21, 9};
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  const auto drawn = [&](std::int64_t n) {
    std::vector<float> values(static_cast<std::size_t>(n));
    for (float& it : values) it = normal(random);
    return values;
  };
  const std::vector<float> queries = drawn(kNew * kHeads * kDim);
  const std::vector<float> sinks = {2.0f, -1.0f, 0.5f, 3.0f};
  const std::vector<float> factors = {1, 2, 3, 4, 5, 6};  // [kKVHeads, kNew]
  std::vector<std::vector<float>> keys, weights;
  std::vector<HeadKV> kv;
  std::vector<float*> rows;
  for (const std::int64_t n : sizes) {
    keys.push_back(drawn(n * kDim));
    weights.emplace_back(static_cast<std::size_t>(n), 7.0f);
  }
  for (std::size_t h = 0; h < sizes.size(); ++h) {
    HeadKV head;
    head.keys = reinterpret_cast<const std::byte*>(keys[h].data());
    head.values = head.keys;
    head.n = sizes[h];
    kv.push_back(head);
    rows.push_back(weights[h].data());
  }
  AttentionArgs args;
  args.queries = queries.data();
  args.n_new = kNew;
  args.n_heads = kHeads;
  args.head_dim = kDim;
  args.scale = 0.25f;
  args.kv = kv;
  args.soft_cap = 1.5f;
  mean_weights_with_sinks(args, sinks, rows, factors);

  for (std::int64_t h = 0; h < kKVHeads; ++h) {
    std::vector<double> expected(static_cast<std::size_t>(sizes[h]), 0.0);
    for (std::int64_t q = h * kGroup; q < (h + 1) * kGroup; ++q) {
      for (std::int64_t i = 0; i < kNew; ++i) {
        const std::int64_t n = sizes[h] - kNew + i + 1;
        std::vector<double> terms;
        double sum = std::exp(sinks[q]);
        for (std::int64_t j = 0; j < n; ++j) {
          double product = 0;
          for (std::int64_t c = 0; c < kDim; ++c) {
            product += queries[(i * kHeads + q) * kDim + c] * keys[h][j * kDim + c];
          }
          terms.push_back(std::exp(1.5 * std::tanh(product * 0.25 / 1.5)));
          sum += terms.back();
        }
        for (std::int64_t j = 0; j < n; ++j) {
          expected[j] += terms[j] / sum * factors[h * kNew + i] / (kGroup * kNew);
        }
      }
    }
    for (std::size_t j = 0; j < expected.size(); ++j) EXPECT_NEAR(weights[h][j], expected[j], 1e-5) << h << " " << j;
  }
}

TEST(Sinks, NoneAreNone) {
  std::vector<float> log_sum_exp = {1, 2, 3};
  add_sinks({}, log_sum_exp);
  EXPECT_EQ(log_sum_exp, (std::vector<float>{1, 2, 3}));
  add_sinks(std::vector<float>{0.0f}, log_sum_exp);
  EXPECT_NEAR(log_sum_exp[0], std::log(std::exp(1.0) + 1), 1e-6);
}

}  // namespace
}  // namespace kvpress
