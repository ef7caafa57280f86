// Statistics for expected attention (https://arxiv.org/abs/2510.00636): mean and covariance of each head's queries
// before RoPE over all texts, without the first n_sink tokens of each; the covariance divided by the count less one.
#include "base/counted.h"
#include "calibrate/calibrate.h"
#include "kvpress/base/error.h"
#include "press/kit/query_statistics.h"

namespace kvpress {

std::vector<NamedTensor> calibrate_expected_attention(const Calibration& calibration) {
  const ModelConfig& config = calibration.model.config();
  const std::int64_t d = config.head_dim;
  std::vector<QueryStatistics> layers(static_cast<std::size_t>(config.n_layers));
  read_texts(calibration,
             [&](const AttentionBlock& block) { layers[block.layer].add(block, calibration.n_sink, true); });
  const auto count = static_cast<double>(layers.front().count());
  if (count < 2) {
    fail_usage("calibrate expected_attention: the texts have {} after their first {}; at least 2 are needed",
               counted(static_cast<std::size_t>(count), "token"), calibration.n_sink);
  }
  NamedTensor mean{"query_mean", {config.n_layers, config.n_heads, d}, {}};
  NamedTensor covariance{"query_cov", {config.n_layers, config.n_heads, d, d}, {}};
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    const QueryStatistics& layer = layers[l];
    const RopeSpec& rope = config.layer(l).rope;
    for (std::int64_t h = 0; h < config.n_heads; ++h) {
      std::vector<float> of_head(layer.mean(h).begin(), layer.mean(h).end());
      scale_turned(rope.rotary_dim(), 1 / rope.attention_factor, of_head);
      mean.values.insert(mean.values.end(), of_head.begin(), of_head.end());
      std::vector<float> of_pairs = layer.covariance(h);
      scale_turned_both(rope.rotary_dim(), 1 / rope.attention_factor, d, of_pairs);
      for (const float value : of_pairs) {
        covariance.values.push_back(static_cast<float>(static_cast<double>(value) * (count / (count - 1))));
      }
    }
  }
  return {std::move(mean), std::move(covariance)};
}

}  // namespace kvpress
