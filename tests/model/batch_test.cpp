// Steps of several sequences in one pass: each gives what it gives alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kvpress/model/model.h"
#include "small_model.h"

namespace kvpress {
namespace {

std::vector<std::int32_t> random_tokens(std::int64_t n, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < n; ++i) tokens.push_back(static_cast<std::int32_t>(random() % 500));
  return tokens;
}

/// A sequence: what is in its cache before the pass, and what comes.
struct Sequence {
  std::vector<std::int32_t> tokens;
  std::int64_t first_position;
  KVCache cache;
  AlignedVector<float> hidden;

  Step step(std::int64_t n_hidden, std::int64_t cols, AttentionListener* listener = nullptr) {
    hidden.assign(static_cast<std::size_t>(n_hidden * cols), -77.0f);
    return {tokens, first_position, cache, listener, {hidden.data(), n_hidden, cols}};
  }
};

/// The largest difference, relative to the largest number.
float difference(std::span<const float> a, std::span<const float> b) {
  float largest = 0, scale = 1e-6f;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return INFINITY;
    largest = std::max(largest, std::abs(a[i] - b[i]));
    scale = std::max(scale, std::abs(a[i]));
  }
  return largest / scale;
}

float cache_difference(const KVCache& a, const KVCache& b) {
  float largest = 0;
  const std::int64_t d = a.shape().head_dim;
  for (std::int64_t l = 0; l < a.shape().n_layers; ++l) {
    for (std::int64_t h = 0; h < a.shape().n_kv_heads; ++h) {
      const KVHead& one = a.head(l, h);
      const KVHead& other = b.head(l, h);
      if (!std::ranges::equal(one.positions(), other.positions())) return INFINITY;
      if (one.n_quantized() != other.n_quantized()) return INFINITY;
      std::vector<float> x(static_cast<std::size_t>(one.size() * d)), y(x.size());
      one.keys_as_float(0, one.size(), x.data());
      other.keys_as_float(0, one.size(), y.data());
      largest = std::max(largest, difference(x, y));
      one.values_as_float(0, one.size(), x.data());
      other.values_as_float(0, one.size(), y.data());
      largest = std::max(largest, difference(x, y));
    }
  }
  return largest;
}

struct Case {
  const char* name;
  DType weights;
  CacheFormat format;
  float tolerance;  ///< of what another kernel rounds otherwise; codes of 8 bits may come out one step apart
};

void PrintTo(const Case& it, std::ostream* out) { *out << it.name; }

class Batch : public testing::TestWithParam<Case> {
 protected:
  Batch() : model_(random_model(test::small_config(3), {false, GetParam().weights}, 11)) {}

  std::int64_t cols() const { return model_.config().hidden_size; }

  /// A sequence of n_cached tokens and n_new more; `kind` 1: heads lost different entries, 2: renumbered as well.
  Sequence make(std::int64_t n_cached, std::int64_t n_new, int kind, std::uint32_t seed) {
    Sequence it{random_tokens(n_new, seed + 1), n_cached, model_.make_cache(GetParam().format, 0, kind == 2), {}};
    if (n_cached > 0) model_.forward({random_tokens(n_cached, seed), 0, it.cache});
    std::mt19937 random(seed);
    if (kind == 0) return it;
    for (std::int64_t l = 0; l < it.cache.shape().n_layers; ++l) {
      for (std::int64_t h = 0; h < it.cache.shape().n_kv_heads; ++h) {
        std::vector<std::int32_t> kept;
        for (std::int32_t i = 0; i < it.cache.head(l, h).size(); ++i) {
          if (random() % 4 > static_cast<unsigned>(h)) kept.push_back(i);
        }
        it.cache.keep(l, h, kept);
      }
    }
    return it;
  }

  /// Runs the sequences together and, each on a copy, alone.
  void expect_as_alone(std::deque<Sequence>& together) {
    std::deque<Sequence> alone(together.begin(), together.end());
    Workspace workspace;
    std::vector<Step> steps;
    for (Sequence& it : together) steps.push_back(it.step(rows(it), cols()));
    model_.forward(steps, workspace);
    for (std::size_t i = 0; i < alone.size(); ++i) {
      const Step step = alone[i].step(rows(alone[i]), cols());
      model_.forward({&step, 1}, workspace);
      EXPECT_LT(difference(alone[i].hidden, together[i].hidden), GetParam().tolerance) << "sequence " << i;
      EXPECT_LT(cache_difference(alone[i].cache, together[i].cache), GetParam().tolerance) << "sequence " << i;
    }
  }
  static std::int64_t rows(const Sequence& it) { return std::min<std::int64_t>(std::ssize(it.tokens), 3); }

  Model model_;
};

TEST_P(Batch, SingleTokensOfSequencesOfDifferentLengths) {
  for (const std::size_t n : {1, 2, 3, 8}) {
    std::deque<Sequence> sequences;
    for (std::size_t i = 0; i < n; ++i) {
      sequences.push_back(make(std::vector{40, 300, 1, 1100, 257, 0, 64, 511}[i], 1, static_cast<int>(i % 3),
                               static_cast<std::uint32_t>(i)));
    }
    expect_as_alone(sequences);
  }
}

TEST_P(Batch, ChunksAndSingleTokensShareAPass) {
  std::deque<Sequence> sequences;
  sequences.push_back(make(120, 1, 1, 1));
  sequences.push_back(make(0, 37, 0, 2));
  sequences.push_back(make(300, 1, 2, 3));
  sequences.push_back(make(90, 200, 1, 4));
  sequences.push_back(make(33, 1, 0, 5));
  expect_as_alone(sequences);
}

TEST_P(Batch, LongBlocksAreTakenInParts) {
  std::deque<Sequence> sequences;
  sequences.push_back(make(10, 1500, 0, 1));
  sequences.push_back(make(50, 1, 1, 2));
  sequences.push_back(make(0, 1030, 0, 3));
  expect_as_alone(sequences);
}

INSTANTIATE_TEST_SUITE_P(Formats, Batch,
                         testing::Values(Case{"float32", DType::f32, DType::f32, 1e-5f},
                                         Case{"bfloat16", DType::bf16, DType::bf16, 0.05f},
                                         Case{"int8", DType::f32, {DType::f32, 8}, 0.02f}),
                         [](const auto& it) { return std::string(it.param.name); });

class BatchModel : public testing::Test {
 protected:
  BatchModel() : model_(random_model(test::small_config(3), {false, DType::f32}, 11)) {}
  Sequence make(std::int64_t n_cached, std::int64_t n_new, std::uint32_t seed) {
    Sequence it{random_tokens(n_new, seed + 1), n_cached, model_.make_cache(DType::f32), {}};
    model_.forward({random_tokens(n_cached, seed), 0, it.cache});
    return it;
  }
  Model model_;
};

/// Looks at what a listener is shown.
class Reader : public AttentionListener {
 public:
  explicit Reader(bool wants_sums) : wants_sums_(wants_sums) {}
  bool wants_log_sum_exp() const override { return true; }
  bool wants_whole_block() const override { return false; }
  std::span<float* const> column_sums(std::int64_t layer, KVCache& cache) override {
    pointers_.clear();
    if (!wants_sums_) return {};
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) {
      sums_.emplace_back(static_cast<std::size_t>(cache.head(layer, h).size()), 0.0f);
      pointers_.push_back(sums_.back().data());
    }
    return pointers_;
  }
  void after_attention(const AttentionBlock& block) override {
    const std::int64_t n = block.n_new * block.config.n_heads;
    ASSERT_NE(block.log_sum_exp, nullptr);
    seen.insert(seen.end(), block.log_sum_exp, block.log_sum_exp + n);
    for (std::int64_t t = 0; t < block.n_new; ++t) {
      seen.insert(seen.end(), block.queries.row(t), block.queries.row(t) + block.queries.cols);
      const float* before = block.queries_before_rope.row(t);
      seen.insert(seen.end(), before, before + block.queries_before_rope.cols);
    }
    const Matrix<float> hidden = block.hidden.as_float();
    seen.insert(seen.end(), hidden.data, hidden.data + hidden.rows * hidden.cols);
    seen.push_back(static_cast<float>(block.first_position));
  }
  void after_layer(const LayerOutput& output) override {
    const Matrix<const float>& residual = output.residual;
    seen.insert(seen.end(), residual.data, residual.data + residual.rows * residual.cols);
  }
  std::vector<float> all() const {
    std::vector<float> result = seen;
    for (const auto& row : sums_) result.insert(result.end(), row.begin(), row.end());
    return result;
  }

  std::vector<float> seen;

 private:
  bool wants_sums_;
  std::deque<std::vector<float>> sums_;
  std::vector<float*> pointers_;
};

TEST_F(BatchModel, ListenersAreShownTheirOwnSequence) {
  std::deque<Sequence> together;
  for (const auto& [n_cached, n_new] : {std::pair{50, 1}, {300, 1}, {20, 30}, {70, 1}, {90, 1}}) {
    together.push_back(make(n_cached, n_new, static_cast<std::uint32_t>(n_cached)));
  }
  std::deque<Sequence> alone(together.begin(), together.end());
  std::deque<Reader> readers;
  for (const bool sums : {false, true, false, false, true}) readers.emplace_back(sums);
  std::deque<Reader> other = readers;
  Workspace workspace;
  std::vector<Step> steps;
  for (std::size_t i = 0; i < together.size(); ++i) {
    steps.push_back(together[i].step(1, model_.config().hidden_size, i == 3 ? nullptr : &readers[i]));
  }
  model_.forward(steps, workspace);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    if (i == 3) continue;
    model_.forward(alone[i].step(1, model_.config().hidden_size, &other[i]));
    const auto expected = other[i].all();
    const auto actual = readers[i].all();
    ASSERT_EQ(expected.size(), actual.size());
    EXPECT_LT(difference(expected, actual), 1e-5f) << i;
  }
}

TEST_F(BatchModel, ACacheServesOneStepOfAPass) {
  Sequence it = make(10, 1, 1);
  const Step step = it.step(1, model_.config().hidden_size);
  const std::vector<Step> twice = {step, step};
  Workspace workspace;
  EXPECT_THROW(model_.forward(twice, workspace), std::logic_error);
}

/// Gives up in a layer, after evicting.
class Quitter : public AttentionListener {
 public:
  explicit Quitter(std::int64_t layer) : layer_(layer) {}
  void after_attention(const AttentionBlock& block) override {
    if (block.layer == layer_) throw std::runtime_error("enough");
  }

 private:
  std::int64_t layer_;
};

TEST_F(BatchModel, APassThatFailsLeavesTheCachesAsTheyWere) {
  for (const std::int64_t layer : {0, 1, 2}) {
    std::deque<Sequence> sequences;
    sequences.push_back(make(100, 1, 1));
    sequences.push_back(make(300, 20, 2));
    sequences.push_back(make(7, 1, 3));
    const std::deque<Sequence> before(sequences.begin(), sequences.end());
    Quitter quitter(layer);
    Workspace workspace;
    std::vector<Step> steps;
    for (Sequence& it : sequences) steps.push_back(it.step(1, model_.config().hidden_size));
    steps[1].listener = &quitter;
    EXPECT_THROW(model_.forward(steps, workspace), std::runtime_error);
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      EXPECT_EQ(cache_difference(before[i].cache, sequences[i].cache), 0.0f) << i;
    }
    // The workspace and the caches serve on.
    steps[1].listener = nullptr;
    model_.forward(steps, workspace);
    std::deque<Sequence> again(before.begin(), before.end());
    for (std::size_t i = 0; i < again.size(); ++i) {
      model_.forward(again[i].step(1, model_.config().hidden_size));
      EXPECT_LT(difference(again[i].hidden, sequences[i].hidden), 1e-5f);
    }
  }
}

TEST_F(BatchModel, TwoThreadsRunOneModel) {
  const auto run = [&](std::uint32_t seed) {
    Workspace workspace;
    Sequence it{random_tokens(70, seed), 0, model_.make_cache(DType::f32), {}};
    const Step prefill = it.step(1, model_.config().hidden_size);
    model_.forward({&prefill, 1}, workspace);
    std::vector<float> all(it.hidden.begin(), it.hidden.end());
    for (std::int64_t i = 0; i < 20; ++i) {
      it.tokens = random_tokens(1, seed + static_cast<std::uint32_t>(i));
      it.first_position = 70 + i;
      const Step step = it.step(1, model_.config().hidden_size);
      model_.forward({&step, 1}, workspace);
      all.insert(all.end(), it.hidden.begin(), it.hidden.end());
    }
    return all;
  };
  const std::vector<std::vector<float>> expected = {run(1), run(2)};
  std::vector<std::vector<float>> actual(2);
  {
    std::vector<std::jthread> threads;
    for (std::uint32_t i = 0; i < 2; ++i) threads.emplace_back([&, i] { actual[i] = run(i + 1); });
  }
  EXPECT_EQ(actual, expected);
}

}  // namespace
}  // namespace kvpress
