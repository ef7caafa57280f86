// Expected attention (https://arxiv.org/abs/2510.00636): the queries to come are taken as Gaussian, with the mean and
// covariance of those seen, turned to the positions ahead; the expected weight of key k is then
//   E exp(q k / sqrt(d)) = exp(mu k / sqrt(d) + k' Sigma k / (2 d)).
// A layer's soft cap is left out: of exp(cap tanh(q k / cap)) the mean has no closed form. So is a learned sink: the
// weights of a query head are shares of what it gives to the entries past the first tokens, and what goes to a sink is
// no more part of that than what goes to those tokens. It would divide all weights of a query head by one number.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/ops/product/linear.h"
#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/kit/trained_file.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/press_state.h"
#include "ops/rowwise.h"
#include "press/entries.h"
#include "press/kit/query_statistics.h"

namespace kvpress {
namespace {

class ExpectedAttention : public Scorer<ExpectedAttention> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.integer("n_future_positions", n_future_positions_, 1, "future positions that queries are averaged over");
    visitor.integer("n_sink", n_sink_, 0, "first tokens that are always kept; their queries are ignored");
    visitor.flag("use_covariance", use_covariance_, "use the covariance of the queries");
    visitor.flag("use_vnorm", use_vnorm_, "multiply by the norm of the value");
    visitor.real("epsilon", epsilon_, 0.0, "added to the weight before multiplying by the value's norm");
    visitor.file("stats", stats_,
                 "safetensors file with query_mean [layers, heads, head size] and query_cov of other texts; none: "
                 "those of the text");
  }
  PressNeeds needs() const override { return {.every_block = stats_.empty()}; }

  void prepare(const PressSetup& setup) override {
    if (stats_.empty()) return;
    const ModelConfig& config = setup.config;
    const TrainedFile file("press expected_attention", "stats", "expected_attention", stats_, setup);
    Moments read;
    read.means = file.tensor("query_mean", {config.n_layers, config.n_heads, config.head_dim});
    if (use_covariance_) {
      read.covariances = file.tensor("query_cov", {config.n_layers, config.n_heads, config.head_dim, config.head_dim});
    }
    const std::int64_t d = config.head_dim;
    for (std::int64_t i = 0; i < config.n_layers * config.n_heads; ++i) {
      const RopeSpec& rope = config.layer(i / config.n_heads).rope;
      const auto size = static_cast<std::size_t>(d);
      scale_turned(rope.rotary_dim(), rope.attention_factor, std::span(read.means).subspan(i * size, size));
      if (!use_covariance_) continue;
      scale_turned_both(rope.rotary_dim(), rope.attention_factor, d,
                        std::span(read.covariances).subspan(i * size * size, size * size));
    }
    given_ = std::make_shared<const Moments>(std::move(read));
  }

  void visit_state(StateVisitor& visitor) override {
    visitor.layers(statistics_, [&](QueryStatistics& it) { it.visit_state(visitor); });
  }

  void observe(const LayerView& layer) override {
    if (!stats_.empty()) return;
    const auto l = static_cast<std::size_t>(layer.block.layer);
    if (statistics_.size() <= l) statistics_.resize(l + 1);
    statistics_[l].add(layer.block, n_sink_, use_covariance_);
  }

  void score(const LayerView& layer, Scores& scores) override {
    const ModelConfig& config = layer.block.config;
    const std::vector<AverageRotation> rotations = rotations_ahead(layer, n_future_positions_);
    // Per query head: the rotated mean, scaled as scores are (by 1 / sqrt(d)), and the rotated covariance, by 1 / (2
    // d).
    const float scale = config.attention_scale(layer.block.layer);
    std::vector<std::vector<float>> means(static_cast<std::size_t>(config.n_heads));
    std::vector<std::vector<float>> covariances(static_cast<std::size_t>(config.n_heads));
    parallel_for(config.n_heads, [&](std::int64_t h) {
      const auto at = static_cast<std::size_t>(h);
      const AverageRotation& rotation = rotations[h / config.group_size()];
      means[at] = rotation.mean(mean(layer.block, h));
      for (float& value : means[at]) value *= scale;
      if (!use_covariance_) return;
      covariances[at] = rotation.covariance(covariance(layer.block, h), config.head_dim);
      for (float& value : covariances[at]) value *= scale * scale / 2;
    });
    fill_logits(layer, means, covariances);
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) to_weights(layer, h, scores[h]);
    if (use_vnorm_) weigh_by_value(layer, scores);
    force_sinks(layer, scores);
  }

 private:
  /// Of the queries of other texts: [layers, heads, head_dim] and [layers, heads, head_dim, head_dim].
  struct Moments {
    std::vector<float> means;
    std::vector<float> covariances;
  };

  std::span<const float> mean(const AttentionBlock& block, std::int64_t head) const {
    if (stats_.empty()) return statistics_[block.layer].mean(head);
    const auto d = static_cast<std::size_t>(block.config.head_dim);
    return std::span(given().means).subspan(static_cast<std::size_t>(block.layer * block.config.n_heads + head) * d, d);
  }
  std::vector<float> covariance(const AttentionBlock& block, std::int64_t head) const {
    if (stats_.empty()) return statistics_[block.layer].covariance(head);
    const auto size = static_cast<std::size_t>(block.config.head_dim * block.config.head_dim);
    const auto part = std::span(given().covariances)
                          .subspan(static_cast<std::size_t>(block.layer * block.config.n_heads + head) * size, size);
    return {part.begin(), part.end()};
  }
  const Moments& given() const {
    if (given_ == nullptr) fail("expected_attention: its statistics have not been read");
    return *given_;
  }

  /// logits_[query head][entry]
  void fill_logits(const LayerView& layer, const std::vector<std::vector<float>>& means,
                   const std::vector<std::vector<float>>& covariances) {
    const ModelConfig& config = layer.block.config;
    const std::int64_t d = config.head_dim;
    const std::int64_t group = config.group_size();
    logits_.resize(static_cast<std::size_t>(config.n_heads));
    for (std::int64_t h = 0; h < config.n_heads; ++h) {
      logits_[h].resize(static_cast<std::size_t>(layer.head(h / group).size()));
    }
    for_each_stretch(
        layer, Rows::keys, [&](std::int64_t kv_head, std::int64_t first, std::int64_t n, const float* keys) {
          AlignedVector<float> turned(static_cast<std::size_t>(n * d));
          for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
            const auto at = static_cast<std::size_t>(h);
            // One dot product a key gives both terms: k (Sigma k + mu).
            for (std::int64_t j = 0; j < n; ++j) std::copy(means[at].begin(), means[at].end(), turned.data() + j * d);
            if (use_covariance_)
              gemm(false, false, n, d, d, 1.0f, keys, d, covariances[at].data(), d, 1.0f, turned.data(), d);
            for (std::int64_t j = 0; j < n; ++j) {
              const auto row = static_cast<std::size_t>(d);
              logits_[at][first + j] =
                  dot(std::span(keys + j * d, row), std::span<const float>(turned.data() + j * d, row));
            }
          }
        });
  }

  /// Softmax over the entries past the sinks, averaged over the group.
  void to_weights(const LayerView& layer, std::int64_t kv_head, AlignedVector<float>& row) {
    const std::int64_t first = n_before(layer.head(kv_head), n_sink_);
    const std::int64_t n = layer.head(kv_head).size() - first;
    const std::int64_t group = layer.block.config.group_size();
    std::fill(row.begin(), row.end(), 0.0f);
    if (n <= 0) return;
    for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      float* logits = logits_[h].data() + first;
      const float sum = exp_shifted(logits, n, max_value(logits, n));
      scale(logits, n, 1.0f / (sum * static_cast<float>(group)));
      add(logits, row.data() + first, n);
    }
  }

  void weigh_by_value(const LayerView& layer, Scores& scores) const {
    const auto d = static_cast<std::size_t>(layer.block.config.head_dim);
    for_each_stretch(layer, Rows::values, [&](std::int64_t h, std::int64_t first, std::int64_t n, const float* values) {
      for (std::int64_t j = 0; j < n; ++j) {
        const std::span<const float> value(values + static_cast<std::size_t>(j) * d, d);
        float& score = scores[h][first + j];
        score = (score + static_cast<float>(epsilon_)) * std::sqrt(dot(value, value));
      }
    });
  }

  void force_sinks(const LayerView& layer, Scores& scores) const {
    // Sinks were not scored: the largest score is that of the others.
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      auto& row = scores[h];
      std::fill_n(row.begin(), n_before(layer.head(h), n_sink_), 0.0f);
    }
    const float forced = above_all(scores);
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      auto& row = scores[h];
      std::fill_n(row.begin(), n_before(layer.head(h), n_sink_), forced);
    }
  }

  std::int64_t n_future_positions_ = 512;
  std::int64_t n_sink_ = 4;
  bool use_covariance_ = true;
  bool use_vnorm_ = true;
  double epsilon_ = 0.0;
  std::string stats_;
  std::shared_ptr<const Moments> given_;
  std::vector<QueryStatistics> statistics_;  // one a layer
  std::vector<AlignedVector<float>> logits_;
};

}  // namespace

const PressEntry kExpectedAttentionPress = {
    "expected_attention",
    "keeps the tokens that future queries are expected to attend to",
    "https://arxiv.org/abs/2510.00636",
    "keys, values, mean and covariance of all queries",
    make_press<ExpectedAttention>,
    "Future queries are assumed to follow the same Gaussian as those seen, rotated to future positions. Their expected "
    "attention has a closed form, so no future query is needed.",
    "s_j = (softmax over j of μ·k_j/√d + k_jᵀΣk_j/(2d), mean over the group, + epsilon)·‖v_j‖; the first n_sink tokens "
    "are kept",
    "When the question is unknown at the time of compression; the most reliable of the cheap presses."};

}  // namespace kvpress
