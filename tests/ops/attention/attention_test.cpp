#include "kvpress/ops/attention/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kvpress/base/threads.h"
#include "ops/attention/attention_kernels.h"
#include "ops/attention/attention_problem.h"
#include "ops/channels.h"
#include "ops/isa.h"

namespace kvpress {
namespace {

using testing::Problem;
using testing::worst;

struct Shape {
  std::vector<std::int64_t> lengths;
  std::int64_t group;
  std::int64_t head_dim;
  std::int64_t n_new;
};

/// `reference`, if any, holds what attention_plain() is to see instead.
void expect_like_plain(Problem& problem, DType out_type, Problem* reference = nullptr) {
  Problem& plain = reference != nullptr ? *reference : problem;
  const auto expected = plain.run(attention_plain);
  const auto expected_lse = plain.log_sum_exp;
  std::fill(problem.log_sum_exp.begin(), problem.log_sum_exp.end(), -7.0f);
  const auto actual = problem.run(attention, out_type);
  // bfloat16 weights carry 2^-9 of relative error each, a bfloat16 result as much once more.
  float tolerance = problem.type == DType::bf16 ? 6e-3f : 1e-5f;
  if (out_type == DType::bf16) tolerance += 8e-3f;
  EXPECT_LE(worst(actual, expected), tolerance);
  EXPECT_LE(worst(problem.log_sum_exp, expected_lse), 2e-5f);
}

void expect_like_plain(const Shape& shape, DType type, DType out_type) {
  SCOPED_TRACE(::testing::Message() << "n_new " << shape.n_new << ", group " << shape.group << ", head_dim "
                                    << shape.head_dim << ", kv " << to_string(type) << ", out " << to_string(out_type));
  Problem problem(shape.lengths, shape.group, shape.head_dim, shape.n_new, type);
  expect_like_plain(problem, out_type);
}

std::vector<std::int64_t> ragged(std::int64_t n_new) { return {n_new, n_new + 65, n_new + 700}; }

TEST(Attention, EqualsThePlainLoopsForEveryBlockLength) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t n_new : {1, 2, 3, 7, 8, 63, 64, 65, 300}) {
      expect_like_plain({ragged(n_new), 1, 64, n_new}, type, DType::f32);
      expect_like_plain({ragged(n_new), 3, 32, n_new}, type, DType::bf16);
    }
  }
}

TEST(Attention, EqualsThePlainLoopsForEveryGroupAndHeadDim) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t group : {1, 2, 3, 8}) {
      for (const std::int64_t head_dim : {2, 10, 16, 32, 64, 80, 96, 128, 256}) {
        for (const std::int64_t n_new : {1, 70}) {
          expect_like_plain({{n_new + 3, n_new, n_new + 290}, group, head_dim, n_new}, type, DType::f32);
        }
      }
    }
  }
}

TEST(Attention, DecodesOverALongCache) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t n_new : {1, 2, 5}) {
      expect_like_plain({{5000, 1, 130, 4097}, 3, 64, 1}, type, DType::f32);
      expect_like_plain({{5000, n_new, 4097}, 1, 128, n_new}, type, DType::bf16);
    }
  }
}

TEST(Attention, CutsTheCacheAmongTheNewTokens) {
  // The first of them see nothing of the last stretch of 1,024 entries.
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t head_dim : {16, 32, 64, 80, 128}) {
      for (const std::int64_t n_new : {2, 28})
        expect_like_plain({{1025, 300, 2049}, 3, head_dim, n_new}, type, DType::f32);
    }
  }
}

TEST(Attention, TakesOlderEntriesInEightAndFourBits) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const int bits : {8, 4}) {
      for (const std::int64_t group : {1, 2, 3, 5, 8}) {
        for (const std::int64_t head_dim : {8, 64, 80}) {
          for (const std::int64_t n_new : {1, 2, 70}) {
            for (const double part : {0.4, 0.99}) {
              SCOPED_TRACE(::testing::Message() << bits << " bits, group " << group << ", head_dim " << head_dim
                                                << ", n_new " << n_new << ", kv " << to_string(type));
              const std::vector<std::int64_t> lengths = {n_new + 20, n_new + 301, n_new == 1 ? 1300 : 100};
              Problem problem(lengths, group, head_dim, n_new, type);
              problem.quantize(bits, part);
              // bfloat16 products of many rows see what was decoded rounded once more.
              const bool rounds = type == DType::bf16 && has_fast_bfloat16() && n_new * group > kAttendFewRows;
              Problem rounded(lengths, group, head_dim, n_new, type);
              rounded.quantize(bits, part);
              rounded.decode();
              expect_like_plain(problem, DType::f32, rounds ? &rounded : nullptr);
            }
          }
        }
      }
    }
  }
}

TEST(Attention, TakesThinKeysInEightAndFourBits) {
  for (const int bits : {8, 4}) {
    for (const std::int64_t n_new : {1, 40}) {
      Problem problem({n_new + 300, n_new + 40}, 3, 64, n_new, DType::f32);
      problem.quantize(bits, 0.9, {3, 4, 17, 63});
      expect_like_plain(problem, DType::f32);
    }
  }
}

TEST(Attention, HandlesLargeScores) {
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const std::int64_t n_new : {1, 100}) {
      Problem problem({400}, 2, 64, n_new, type);
      for (float& q : problem.queries) q *= 64.0f;
      const auto expected = problem.run(attention_plain);
      EXPECT_LE(worst(problem.run(attention), expected), type == DType::f32 ? 3e-4f : 2e-2f);
    }
  }
}

TEST(Attention, IsTheSameForAnyNumberOfThreads) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t n_new : {1, 4, 130}) {
      Problem problem({3000, 700}, 3, 64, n_new, type);
      set_threads(1);
      const auto one = problem.run(attention);
      set_threads(3);
      const auto three = problem.run(attention);
      set_threads(0);
      EXPECT_EQ(worst(one, three), 0.0f);
    }
  }
}

TEST(Attention, WindowsHideOlderEntries) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t n_new : {1, 2, 7, 65, 300, 1100}) {
      for (const std::int64_t window : {1, 5, 64, 200, 777, 4000}) {
        if (n_new == 1100 && window == 5) continue;
        SCOPED_TRACE(::testing::Message() << "n_new " << n_new << ", window " << window << ", kv " << to_string(type));
        for (const auto& [group, head_dim] : {std::pair{3, 64}, {1, 80}}) {
          Problem problem(ragged(n_new), group, head_dim, n_new, type);
          problem.set_window(window);
          expect_like_plain(problem, DType::f32);
        }
      }
    }
  }
}

TEST(Attention, SoftCapsBendScores) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t n_new : {1, 2, 70, 300}) {
      for (const float soft_cap : {0.3f, 2.0f, 50.0f}) {
        SCOPED_TRACE(::testing::Message() << "n_new " << n_new << ", cap " << soft_cap << ", kv " << to_string(type));
        Problem problem(ragged(n_new), 2, 64, n_new, type);
        problem.soft_cap = soft_cap;
        expect_like_plain(problem, DType::f32);
        Problem quantized(ragged(n_new), 2, 64, n_new, DType::f32);
        quantized.quantize(8, 0.9);
        quantized.soft_cap = soft_cap;
        expect_like_plain(quantized, DType::f32);
      }
    }
  }
}

/// Decoding reads entries as they stand, in every size of heads that it knows and another.
TEST(Attention, SoftCapsBendTheScoresOfFewRows) {
  for (const auto& [group, head_dim] : {std::pair{1, 32}, {2, 64}, {3, 96}, {6, 128}, {4, 256}, {5, 80}, {7, 64}}) {
    for (const bool window : {false, true}) {
      for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
        SCOPED_TRACE(::testing::Message() << group << " rows of " << head_dim << ", kv " << to_string(type));
        Problem problem(ragged(1), group, head_dim, 1, type);
        problem.soft_cap = 0.7f;
        if (window) problem.set_window(37);
        expect_like_plain(problem, DType::f32);
      }
      for (const int bits : {8, 4}) {
        SCOPED_TRACE(::testing::Message() << group << " rows of " << head_dim << ", " << bits << " bits");
        Problem problem(ragged(1), group, head_dim, 1, DType::f32);
        problem.quantize(bits, 0.9);
        problem.soft_cap = 0.7f;
        if (window) problem.set_window(37);
        expect_like_plain(problem, DType::f32);
      }
    }
  }
}

TEST(Attention, WindowsHideEntriesOfEightAndFourBits) {
  for (const int bits : {8, 4}) {
    for (const std::int64_t n_new : {1, 2, 70}) {
      for (const std::int64_t window : {10, 100, 500, 1200}) {
        Problem problem({n_new + 20, n_new + 301, n_new + 1300}, 2, 64, n_new, DType::f32);
        problem.quantize(bits, 0.9);
        problem.set_window(window);
        expect_like_plain(problem, DType::f32);
      }
    }
  }
}

TEST(Attention, DoesNotNeedTheLogSumExp) {
  for (const std::int64_t n_new : {1, 100}) {
    Problem problem({n_new + 5}, 1, 64, n_new, DType::bf16);
    const auto expected = problem.run(attention);
    const auto actual = problem.run([](AttentionArgs args, const Activations& out) {
      args.log_sum_exp = nullptr;
      attention(args, out);
    });
    EXPECT_EQ(worst(actual, expected), 0.0f);
  }
}

/// Softmax weights of every query on every entry, in double: [n_heads][n_new][n].
std::vector<std::vector<std::vector<double>>> all_weights(Problem& problem) {
  const std::int64_t d = problem.head_dim;
  const auto args = problem.args();
  const std::int64_t group = problem.n_heads / static_cast<std::int64_t>(problem.heads.size());
  std::vector<std::vector<std::vector<double>>> weights(static_cast<std::size_t>(problem.n_heads));
  for (std::int64_t h = 0; h < problem.n_heads; ++h) {
    const HeadKV& head = problem.heads[static_cast<std::size_t>(h / group)];
    std::vector<float> keys(static_cast<std::size_t>(head.n * d));
    to_float(head.keys, problem.type, keys.data(), head.n * d);
    for (std::int64_t t = 0; t < problem.n_new; ++t) {
      const float* query = problem.queries.data() + (t * problem.n_heads + h) * d;
      const std::int64_t seen = head.n - problem.n_new + t + 1;
      std::vector<double> row(static_cast<std::size_t>(head.n), 0.0);
      double sum = 0;
      for (std::int64_t j = problem.first_seen(h / group, t); j < seen; ++j) {
        double dot = 0;
        for (std::int64_t c = 0; c < d; ++c)
          dot += static_cast<double>(query[c]) * keys[static_cast<std::size_t>(j * d + c)];
        dot *= args.scale;
        if (args.soft_cap > 0) dot = args.soft_cap * std::tanh(dot / args.soft_cap);
        sum += row[static_cast<std::size_t>(j)] = std::exp(dot);
      }
      for (double& w : row) w /= sum;
      weights[static_cast<std::size_t>(h)].push_back(row);
    }
  }
  return weights;
}

/// Column sums or means of all_weights over a KV head's group: sums[h][j]. `factors` [KV head][query], if any,
/// multiply.
std::vector<std::vector<double>> expected_columns(Problem& problem, bool mean, const std::vector<float>& factors = {}) {
  const auto weights = all_weights(problem);
  const std::size_t group = weights.size() / problem.heads.size();
  std::vector<std::vector<double>> sums;
  for (std::size_t h = 0; h < problem.heads.size(); ++h) {
    std::vector<double> sum(static_cast<std::size_t>(problem.heads[h].n), 0.0);
    const double divisor = static_cast<double>(group) * (mean ? static_cast<double>(problem.n_new) : 1.0);
    for (std::size_t g = 0; g < group; ++g) {
      const auto& rows = weights[h * group + g];
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const double factor = factors.empty() ? 1.0 : factors[h * rows.size() + i];
        for (std::size_t j = 0; j < rows[i].size(); ++j) sum[j] += factor * rows[i][j] / divisor;
      }
    }
    sums.push_back(sum);
  }
  return sums;
}

void expect_columns(const std::vector<std::vector<float>>& actual, const std::vector<std::vector<double>>& expected,
                    double relative) {
  for (std::size_t h = 0; h < expected.size(); ++h) {
    for (std::size_t j = 0; j < expected[h].size(); ++j) {
      ASSERT_NEAR(actual[h][j], expected[h][j], relative * expected[h][j] + 1e-9) << "head " << h << ", entry " << j;
    }
  }
}

class Columns : public ::testing::TestWithParam<DType> {
 protected:
  // Weights in bfloat16 products: exact products of bfloat16 numbers, so that only sums differ.
  double relative() const { return 1e-4; }
  static std::vector<std::vector<float>> filled(const Problem& problem, float value) {
    std::vector<std::vector<float>> columns;
    for (const HeadKV& head : problem.heads) columns.emplace_back(static_cast<std::size_t>(head.n), value);
    return columns;
  }
  static std::vector<float*> pointers(std::vector<std::vector<float>>& columns) {
    std::vector<float*> p;
    for (auto& column : columns) p.push_back(column.data());
    return p;
  }
};

TEST_P(Columns, WindowsAndSoftCapsAreThoseOfAPlainLoop) {
  for (const auto& [lengths, group, head_dim, n_new] :
       {Shape{{300, 365, 900}, 1, 64, 300}, Shape{{64, 1129}, 3, 32, 64}, Shape{{5, 1070}, 8, 16, 1},
        Shape{{70}, 8, 128, 33}}) {
    for (const auto& [window, soft_cap] : {std::pair{1, 0.0f}, {30, 0.0f}, {270, 0.9f}, {270, 0.0f}, {2000, 2.5f}}) {
      SCOPED_TRACE(::testing::Message() << "n_new " << n_new << ", window " << window << ", soft cap " << soft_cap);
      Problem problem(lengths, group, head_dim, n_new, GetParam());
      problem.set_window(window);
      problem.soft_cap = soft_cap;
      const auto weights = all_weights(problem);
      const auto plain = problem.run(attention_plain);
      for (std::int64_t h = 0; h < problem.n_heads; ++h) {
        const HeadKV& head = problem.heads[static_cast<std::size_t>(h / group)];
        std::vector<float> values(static_cast<std::size_t>(head.n * head_dim));
        to_float(head.values, problem.type, values.data(), head.n * head_dim);
        for (std::int64_t t = 0; t < n_new; ++t) {
          double expected = 0;  // the first channel
          for (std::int64_t j = 0; j < head.n; ++j) {
            expected += weights[static_cast<std::size_t>(h)][static_cast<std::size_t>(t)][static_cast<std::size_t>(j)] *
                        static_cast<double>(values[static_cast<std::size_t>(j * head_dim)]);
          }
          ASSERT_NEAR(plain[static_cast<std::size_t>((t * problem.n_heads + h) * head_dim)], expected, 1e-5);
        }
      }
      const auto log_sum_exp = problem.log_sum_exp;
      attention_log_sum_exp(problem.args());
      EXPECT_LE(worst(problem.log_sum_exp, log_sum_exp), 2e-5f);
      const auto expected = expected_columns(problem, false);
      auto sums = filled(problem, 0.0f);
      attention_column_sums(problem.args(), pointers(sums));
      expect_columns(sums, expected, relative());
      auto of_attention = filled(problem, 0.0f);
      const auto columns = pointers(of_attention);
      problem.run([&](AttentionArgs args, const Activations& to) {
        args.column_sums = columns;
        attention(args, to);
      });
      expect_columns(of_attention, expected, relative());
      auto means = filled(problem, 3.0f);
      attention_mean_weights(problem.args(), pointers(means));
      expect_columns(means, expected_columns(problem, true), relative());
      auto maxima = filled(problem, 9.0f);
      std::vector<std::span<float>> rows(maxima.begin(), maxima.end());
      attention_column_maxima(problem.args(), nullptr, rows);
      std::vector<std::vector<double>> largest(problem.heads.size());
      for (std::size_t h = 0; h < largest.size(); ++h) largest[h].assign(maxima[h].size(), 0.0);
      for (std::int64_t h = 0; h < problem.n_heads; ++h) {
        auto& row = largest[static_cast<std::size_t>(h / group)];
        for (const auto& of_query : weights[static_cast<std::size_t>(h)]) {
          for (std::size_t j = 0; j < row.size(); ++j) row[j] = std::max(row[j], of_query[j]);
        }
      }
      expect_columns(maxima, largest, relative());
    }
  }
}

TEST_P(Columns, SumsAddTheWeightsOfAllQueries) {
  for (const auto& [lengths, group, head_dim, n_new] :
       {Shape{{300, 365, 900}, 1, 64, 300}, Shape{{64, 129}, 3, 32, 64}, Shape{{65, 400}, 2, 80, 65},
        Shape{{5, 70}, 8, 16, 1}, Shape{{70}, 8, 128, 33}}) {
    Problem problem(lengths, group, head_dim, n_new, GetParam());
    problem.run(attention);
    auto sums = filled(problem, 0.5f);
    attention_column_sums(problem.args(), pointers(sums));
    auto expected = expected_columns(problem, false);
    for (auto& column : expected) {
      for (double& value : column) value += 0.5;
    }
    expect_columns(sums, expected, relative());
  }
}

TEST_P(Columns, SumsComeOutOfTheAttentionItself) {
  for (const auto& [lengths, group, head_dim, n_new] :
       {Shape{{300, 365, 900}, 1, 64, 300}, Shape{{64, 129}, 3, 32, 64}, Shape{{65, 400}, 2, 80, 65},
        Shape{{5, 70}, 8, 16, 1}, Shape{{70}, 8, 128, 33}, Shape{{20000}, 1, 32, 100}}) {
    Problem problem(lengths, group, head_dim, n_new, GetParam());
    const auto without = problem.run(attention);
    auto sums = filled(problem, 0.5f);
    const auto columns = pointers(sums);
    for (const bool with_log_sum_exp : {true, false}) {
      const auto out = problem.run([&](AttentionArgs args, const Activations& to) {
        args.column_sums = columns;
        if (!with_log_sum_exp) args.log_sum_exp = nullptr;
        attention(args, to);
      });
      EXPECT_EQ(out, without);
    }
    auto expected = expected_columns(problem, false);
    for (auto& column : expected) {
      for (double& value : column) value = 2 * value + 0.5;
    }
    expect_columns(sums, expected, relative());
  }
}

TEST_P(Columns, MeanWeightsAverageOverQueriesAndGroup) {
  for (const auto& [lengths, group, head_dim, n_new] :
       {Shape{{64, 65, 2500}, 1, 64, 64}, Shape{{64, 129}, 3, 32, 63}, Shape{{2, 400}, 2, 80, 2},
        Shape{{1, 3000}, 8, 16, 1}, Shape{{300}, 1, 128, 200}, Shape{{2049}, 3, 64, 1}}) {
    Problem problem(lengths, group, head_dim, n_new, GetParam());
    auto weights = filled(problem, 3.0f);
    attention_mean_weights(problem.args(), pointers(weights));
    expect_columns(weights, expected_columns(problem, true), relative());
    for (const auto& column : weights) {
      double total = 0;
      for (const float w : column) total += w;
      EXPECT_NEAR(total, 1.0, 1e-5);
    }
  }
}

TEST_P(Columns, MeanWeightsTakeAFactorForEachQueryOfAHead) {
  for (const auto& [lengths, group, head_dim, n_new] :
       {Shape{{64, 65, 2500}, 1, 64, 64}, Shape{{64, 529}, 3, 32, 63}, Shape{{300}, 1, 128, 200}}) {
    Problem problem(lengths, group, head_dim, n_new, GetParam());
    std::vector<float> factors;
    for (const std::int64_t n : lengths) {
      for (std::int64_t i = 0; i < n_new; ++i) {
        factors.push_back(static_cast<float>(i % 3 == 0 ? n - n_new + i + 1 : 100000 + i));
      }
    }
    auto weights = filled(problem, 3.0f);
    attention_mean_weights(problem.args(), pointers(weights), factors);
    expect_columns(weights, expected_columns(problem, true, factors), relative());
  }
}

TEST_P(Columns, AreTheSameForAnyNumberOfThreads) {
  Problem problem({3000, 700}, 3, 64, 64, GetParam());
  problem.run(attention);
  std::vector<std::vector<float>> sums[2], means[2], of_attention[2];
  for (int i = 0; i < 2; ++i) {
    set_threads(1 + 2 * i);
    sums[i] = filled(problem, 0.0f);
    means[i] = filled(problem, 0.0f);
    attention_column_sums(problem.args(), pointers(sums[i]));
    attention_mean_weights(problem.args(), pointers(means[i]));
    of_attention[i] = filled(problem, 0.0f);
    const auto columns = pointers(of_attention[i]);
    problem.run([&](AttentionArgs args, const Activations& out) {
      args.column_sums = columns;
      attention(args, out);
    });
  }
  set_threads(0);
  EXPECT_EQ(of_attention[0], of_attention[1]);
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(means[0], means[1]);
}

TEST_P(Columns, MaximaAreTheLargestWeightsOfTheFirstEntries) {
  for (const auto& [lengths, group, head_dim, n_new] :
       {Shape{{300, 365, 900}, 1, 64, 300}, Shape{{64, 129}, 3, 32, 64}, Shape{{65, 1400}, 2, 80, 65},
        Shape{{5, 70}, 8, 16, 1}, Shape{{70}, 8, 128, 33}}) {
    Problem problem(lengths, group, head_dim, n_new, GetParam());
    attention_log_sum_exp(problem.args());
    const auto weights = all_weights(problem);
    std::vector<float> factors;
    for (std::int64_t t = 0; t < n_new; ++t) factors.push_back(0.25f + static_cast<float>(t % 7));
    for (const bool with_factors : {false, true}) {
      auto maxima = filled(problem, 9.0f);
      std::vector<std::vector<double>> expected;
      std::vector<std::span<float>> rows;
      for (std::size_t h = 0; h < maxima.size(); ++h) {
        maxima[h].resize(std::max<std::size_t>(1, maxima[h].size() * 2 / 3));
        rows.emplace_back(maxima[h]);
        auto& largest = expected.emplace_back(maxima[h].size(), 0.0);
        for (std::size_t g = 0; g < static_cast<std::size_t>(group); ++g) {
          const auto& of_head = weights[h * static_cast<std::size_t>(group) + g];
          for (std::size_t t = 0; t < of_head.size(); ++t) {
            const double factor = with_factors ? static_cast<double>(factors[t]) : 1.0;
            for (std::size_t j = 0; j < largest.size(); ++j) largest[j] = std::max(largest[j], factor * of_head[t][j]);
          }
        }
      }
      attention_column_maxima(problem.args(), with_factors ? factors.data() : nullptr, rows);
      expect_columns(maxima, expected, relative());
    }
  }
}

TEST_P(Columns, LogSumExpIsThatOfTheAttention) {
  for (const auto& [lengths, group, head_dim, n_new] :
       {Shape{{1300, 2000}, 1, 64, 900}, Shape{{64, 129}, 3, 32, 64}, Shape{{1, 70}, 8, 16, 1}}) {
    Problem problem(lengths, group, head_dim, n_new, GetParam());
    problem.run(attention);
    const std::vector<float> expected = problem.log_sum_exp;
    problem.log_sum_exp.assign(expected.size(), -7.0f);
    attention_log_sum_exp(problem.args());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(problem.log_sum_exp[i], expected[i], 1e-4) << i;
  }
}

TEST_P(Columns, ThinKeysCountAsZerosInAttentionAndItsWeights) {
  const std::vector<std::int32_t> channels = {0, 3, 4, 17, 30, 31};
  for (const auto& [lengths, group, head_dim, n_new] :
       {Shape{{300, 365, 900}, 1, 64, 200}, Shape{{529, 64}, 3, 32, 60}, Shape{{2100}, 3, 64, 1}}) {
    Problem problem(lengths, group, head_dim, n_new, GetParam());
    const auto row = static_cast<std::size_t>(head_dim) * size_of(GetParam());
    std::vector<std::vector<std::byte>> thin;
    std::vector<HeadKV> heads;
    for (std::size_t h = 0; h < problem.heads.size(); ++h) {
      // Of every other head all keys are thin; of the others those before the new ones and a few more.
      const HeadKV& head = problem.heads[h];
      const std::int64_t n_thin = h % 2 == 1 ? head.n : std::max<std::int64_t>(0, head.n - n_new - 7);
      thin.emplace_back(static_cast<std::size_t>(n_thin) * channels.size() * size_of(GetParam()));
      take_channels(head.keys, GetParam(), n_thin, head_dim, channels, thin.back().data());
      spread_channels(thin.back().data(), GetParam(), n_thin, head_dim, channels, problem.keys[h].data());
      heads.push_back({problem.keys[h].data() + static_cast<std::size_t>(n_thin) * row, head.values, head.n,
                       thin.back().data(), n_thin, channels});
    }
    const auto with_zeros = problem.run(attention);
    auto sums = filled(problem, 0.0f);
    attention_column_sums(problem.args(), pointers(sums));
    auto means = filled(problem, 0.0f);
    attention_mean_weights(problem.args(), pointers(means));
    problem.heads = heads;
    // Few rows go over full keys as they stand, in another order of sums, but over thin ones packed.
    EXPECT_LT(worst(problem.run(attention), with_zeros), GetParam() == DType::bf16 ? 2e-3 : 1e-6);
    EXPECT_LT(worst(problem.run(attention_plain), with_zeros), GetParam() == DType::bf16 ? 2e-2 : 1e-4);
    problem.run(attention);
    auto thin_sums = filled(problem, 0.0f);
    attention_column_sums(problem.args(), pointers(thin_sums));
    for (std::size_t h = 0; h < sums.size(); ++h) {
      for (std::size_t j = 0; j < sums[h].size(); ++j) EXPECT_NEAR(thin_sums[h][j], sums[h][j], 4e-6f * sums[h][j]);
    }
    auto thin_means = filled(problem, 0.0f);
    attention_mean_weights(problem.args(), pointers(thin_means));
    EXPECT_EQ(thin_means, means);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Columns, ::testing::Values(DType::f32, DType::bf16, DType::f16),
                         [](const auto& param) { return std::string(to_string(param.param)); });

}  // namespace
}  // namespace kvpress
