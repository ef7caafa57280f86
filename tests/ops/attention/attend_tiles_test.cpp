// Attention on tiles, by the processor's and by the software model of them.
#include "ops/attention/attend_tiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kvpress/base/threads.h"
#include "kvpress/ops/product/linear.h"
#include "ops/attention/attention_problem.h"
#include "ops/isa.h"

namespace kvpress {
namespace {

using testing::Problem;
using testing::worst;

bool has(Isa isa) {
  const auto there = available_isas();
  return std::find(there.begin(), there.end(), isa) != there.end();
}

const TileKernels* hardware() { return has(Isa::amx) ? amx_tile_kernels() : nullptr; }
const TileKernels* software() { return has(Isa::avx512_bf16) ? software_tile_kernels() : nullptr; }

auto by(const TileKernels* kernels) {
  return [kernels](const AttentionArgs& args, const Activations& out) { attend_tiles(*kernels, args, out); };
}

class Tiles : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    kernels_ = GetParam() ? hardware() : software();
    if (kernels_ == nullptr) GTEST_SKIP() << "this processor has no " << (GetParam() ? "AMX" : "AVX-512 BF16");
  }

  /// bfloat16 weights carry 2^-9 of relative error each, a bfloat16 result as much once more.
  void expect_like_plain(Problem& problem, DType out_type = DType::f32, float tolerance = 6e-3f) {
    if (out_type == DType::bf16) tolerance += 8e-3f;
    const auto expected = problem.run(attention_plain);
    const auto expected_log_sums = problem.log_sum_exp;
    std::fill(problem.log_sum_exp.begin(), problem.log_sum_exp.end(), -7.0f);
    EXPECT_LE(worst(problem.run(by(kernels_), out_type), expected), tolerance);
    for (std::size_t i = 0; i < expected_log_sums.size(); ++i) {
      ASSERT_NEAR(problem.log_sum_exp[i], expected_log_sums[i], 2e-5f + 1e-6f * std::abs(expected_log_sums[i]));
    }
  }

  const TileKernels* kernels_ = nullptr;
};

std::vector<std::int64_t> ragged(std::int64_t n_new) { return {n_new, n_new + 65, n_new + 700}; }

TEST_P(Tiles, EqualThePlainLoopsForEveryHeadDimAndGroup) {
  for (const std::int64_t head_dim : {16, 32, 48, 64, 80, 96, 112, 128, 160, 256}) {
    for (const std::int64_t group : {1, 2, 3, 5, 8}) {
      SCOPED_TRACE(::testing::Message() << "head_dim " << head_dim << ", group " << group);
      Problem problem({70, 102, 360}, group, head_dim, 70, DType::bf16);
      expect_like_plain(problem, group % 2 == 0 ? DType::bf16 : DType::f32);
    }
  }
}

TEST_P(Tiles, EqualThePlainLoopsForEveryLength) {
  for (const std::int64_t n_new : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 255, 256, 257, 600}) {
    for (const std::int64_t head_dim : {64, 80}) {
      SCOPED_TRACE(::testing::Message() << "n_new " << n_new << ", head_dim " << head_dim);
      Problem problem(ragged(n_new), head_dim == 64 ? 1 : 3, head_dim, n_new, DType::bf16);
      expect_like_plain(problem, head_dim == 64 ? DType::bf16 : DType::f32);
    }
  }
}

TEST_P(Tiles, WindowsHideOlderEntries) {
  for (const std::int64_t n_new : {2, 65, 300, 1100}) {
    for (const std::int64_t window : {1, 5, 64, 200, 777, 4000}) {
      SCOPED_TRACE(::testing::Message() << "n_new " << n_new << ", window " << window);
      Problem problem(ragged(n_new), 2, 64, n_new, DType::bf16);
      problem.set_window(window);
      expect_like_plain(problem);
    }
  }
}

TEST_P(Tiles, SoftCapsBendScores) {
  for (const float soft_cap : {0.3f, 2.0f, 50.0f}) {
    for (const std::int64_t head_dim : {64, 96}) {
      Problem problem(ragged(130), 2, head_dim, 130, DType::bf16);
      problem.soft_cap = soft_cap;
      problem.set_window(333);
      expect_like_plain(problem);
    }
  }
}

TEST_P(Tiles, HoldLargeScores) {
  for (const float factor : {8.0f, 32.0f, 128.0f, 4096.0f}) {
    for (const std::int64_t head_dim : {64, 128}) {
      for (const std::int64_t window : {100, 5000}) {
        SCOPED_TRACE(::testing::Message() << "queries times " << factor << ", head_dim " << head_dim);
        Problem problem({400, 1300}, 2, head_dim, 350, DType::bf16);
        for (float& q : problem.queries) q *= factor;
        problem.set_window(window);
        expect_like_plain(problem, DType::f32, 2e-2f);
      }
    }
  }
}

/// Scores that begin far below 0 or above it, and move far from one unit of keys to the next, up and down.
TEST_P(Tiles, FollowScoresThatMoveFar) {
  const std::vector<float> walks[] = {
      {-400, -300, 500, 90, 700, -900}, {600, -200, 601, 599, 0, 650}, {-1, -21, 0, 61}};
  for (const auto& walk : walks) {
    Problem problem({1400, 1500}, 1, 64, 1300, DType::bf16);
    for (std::size_t i = 0; i < problem.queries.size(); i += 64)
      problem.queries[i] = 8.0f;  // times 1 / 8: the key's own
    for (std::size_t h = 0; h < problem.heads.size(); ++h) {
      std::vector<float> keys(problem.keys[h].size() / 2);
      to_float(problem.keys[h].data(), DType::bf16, keys.data(), static_cast<std::int64_t>(keys.size()));
      for (std::size_t j = 0; j < keys.size() / 64; ++j) keys[j * 64] = walk[j / 230 % walk.size()];
      problem.keys[h] = problem.stored(keys);
      problem.heads[h].keys = problem.keys[h].data();
    }
    expect_like_plain(problem, DType::f32, 1e-2f);
  }
}

TEST_P(Tiles, TakeOlderEntriesInEightAndFourBits) {
  for (const int bits : {8, 4}) {
    for (const auto& channels : {std::vector<std::int32_t>{}, {3, 4, 17, 63}}) {
      Problem problem({500, 301, 1300}, 2, 64, 100, DType::bf16);
      problem.quantize(bits, 0.7, channels);
      Problem decoded({500, 301, 1300}, 2, 64, 100, DType::bf16);
      decoded.quantize(bits, 0.7, channels);
      decoded.decode();
      const auto expected = decoded.run(attention_plain);
      EXPECT_LE(worst(problem.run(by(kernels_)), expected), 6e-3f);
      EXPECT_LE(worst(problem.log_sum_exp, decoded.log_sum_exp), 2e-5f);
    }
  }
}

TEST_P(Tiles, GiveTheSameForAnyNumberOfThreads) {
  Problem problem({3000, 1300}, 3, 64, 1000, DType::bf16);
  set_threads(1);
  const auto one = problem.run(by(kernels_));
  const auto log_sums = problem.log_sum_exp;
  for (const int n : {3, 16}) {
    set_threads(n);
    EXPECT_EQ(problem.run(by(kernels_)), one);
    EXPECT_EQ(problem.log_sum_exp, log_sums);
  }
  set_threads(0);
}

TEST_P(Tiles, LeaveProductsAndDenormalNumbersAsTheyWere) {
  constexpr std::int64_t kSize = 192;
  const auto weights = testing::random_values(kSize * kSize, 5);
  const auto rows = [&](std::int64_t first, std::int64_t n, float* out) {
    std::copy_n(weights.data() + first * kSize, n * kSize, out);
  };
  const Linear product(kSize, kSize, rows, {}, has_fast_bfloat16() ? DType::bf16 : DType::f32);
  ActivationBuffer input, output;
  const auto x = testing::random_values(kSize * kSize, 6);
  const Activations in = input.get(product.type(), kSize, kSize);
  from_float(x.data(), in.data, in.type, kSize * kSize);
  const auto multiply = [&] {
    const Activations out = output.get(DType::f32, kSize, kSize);
    product(in, out);
    return std::vector<float>(out.as_float().data, out.as_float().data + kSize * kSize);
  };
  const auto before = multiply();
  Problem problem({300}, 1, 64, 300, DType::bf16);
  problem.run(by(kernels_));
  EXPECT_EQ(multiply(), before);
  volatile float small = 1e-39f;
  EXPECT_GT(small * 0.5f, 0.0f);
}

INSTANTIATE_TEST_SUITE_P(Of, Tiles, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "TheProcessor" : "Software"; });

TEST(TilesInSoftware, GiveWhatTheProcessorsGive) {
  if (hardware() == nullptr) GTEST_SKIP() << "this processor has no AMX";
  for (const std::int64_t head_dim : {16, 64, 80, 128, 256}) {
    for (const float factor : {1.0f, 64.0f}) {
      Problem problem({700, 333}, 2, head_dim, 333, DType::bf16);
      for (float& q : problem.queries) q *= factor;
      problem.set_window(500);
      const auto expected = problem.run(by(hardware()));
      const auto log_sums = problem.log_sum_exp;
      EXPECT_EQ(problem.run(by(software())), expected) << head_dim;
      EXPECT_EQ(problem.log_sum_exp, log_sums) << head_dim;
    }
  }
}

}  // namespace
}  // namespace kvpress
