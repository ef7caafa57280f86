#include "press/kit/duo_scores.h"

#include <algorithm>
#include <cmath>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "kvpress/press/press_state.h"

namespace kvpress {
namespace {

/// Positions that a head's mean query looks back over.
constexpr std::int64_t kPositions = 500;

/// Only the distance from the query matters: cos and sin of distance * frequency.
struct Turns {
  explicit Turns(const std::vector<float>& frequencies) : half(std::ssize(frequencies)) {
    for (std::int64_t distance = 0; distance < kPositions; ++distance) {
      for (const float frequency : frequencies) {
        const double angle = static_cast<double>(distance) * static_cast<double>(frequency);
        cosines.push_back(std::cos(angle));
        sines.push_back(std::sin(angle));
      }
    }
  }
  std::int64_t half;
  std::vector<double> cosines, sines;  // [kPositions, half]
};

}  // namespace

void DuoScores::add(const LayerView& layer) {
  const AttentionBlock& block = layer.block;
  const ModelConfig& config = block.config;
  const std::int64_t d = config.head_dim;
  const std::int64_t half = block.rope.rotary_dim() / 2;
  const auto l = static_cast<std::size_t>(block.layer);
  if (layers_.size() <= l) layers_.resize(l + 1);
  Sums& sums = layers_[l];
  sums.queries.resize(static_cast<std::size_t>(config.n_heads * d), 0.0);
  sums.keys.resize(static_cast<std::size_t>(config.n_kv_heads * d), 0.0);

  parallel_for(config.n_kv_heads, [&](std::int64_t h) {
    const std::int64_t first_query = h * config.group_size() * d;
    double* query_sum = sums.queries.data() + first_query;
    for (std::int64_t t = 0; t < block.n_new; ++t) {
      const float* queries = block.queries_before_rope.row(t) + first_query;
      for (std::int64_t c = 0; c < config.group_size() * d; ++c) query_sum[c] += queries[c];
    }
    const KVHead& head = layer.head(h);
    double* key_sum = sums.keys.data() + h * d;
    constexpr std::int64_t kRows = 256;
    AlignedVector<float> keys(static_cast<std::size_t>(std::min(kRows, block.n_new) * d));
    const std::int64_t first_new = head.size() - block.n_new;
    for (std::int64_t first = 0; first < block.n_new; first += kRows) {
      const std::int64_t n = std::min(kRows, block.n_new - first);
      head.keys_as_float(first_new + first, n, keys.data());
      for (std::int64_t t = 0; t < n; ++t) {
        const float* key = keys.data() + t * d;
        const float* c = block.rope.cos(block.first_position + first + t);
        const float* s = block.rope.sin(block.first_position + first + t);
        for (std::int64_t i = 0; i < half; ++i) {
          key_sum[i] += key[i] * c[i] + key[i + half] * s[i];
          key_sum[i + half] += key[i + half] * c[i] - key[i] * s[i];
        }
        for (std::int64_t i = 2 * half; i < d; ++i) key_sum[i] += key[i];
      }
    }
  });
  sums.count += block.n_new;
}

void DuoScores::visit_state(StateVisitor& visitor) {
  const ModelConfig& config = visitor.config();
  visitor.layers(layers_, [&](Sums& it) {
    visitor.integer(it.count, 0, visitor.n_tokens());
    visitor.numbers(it.queries, config.n_heads * config.head_dim);
    visitor.numbers(it.keys, config.n_kv_heads * config.head_dim);
    if (it.count > 0 && (it.queries.empty() || it.keys.empty())) fail("the state of its press does not fit the model");
  });
}

std::vector<float> DuoScores::scores(const ModelConfig& config) const {
  const std::int64_t d = config.head_dim;
  std::vector<Turns> turns;  // of layers that turn alike, once
  std::vector<std::size_t> turns_of_layer;
  for (std::int64_t l = 0; l < std::ssize(layers_); ++l) {
    const bool same = l > 0 && config.layer(l).rope == config.layer(l - 1).rope;
    if (!same) turns.emplace_back(config.layer(l).rope.inverse_frequencies);
    turns_of_layer.push_back(turns.size() - 1);
  }
  const auto turns_of = [&](std::int64_t l) -> const Turns& { return turns[turns_of_layer[l]]; };
  std::vector<float> result(static_cast<std::size_t>(config.n_layers * config.n_kv_heads));
  parallel_for(std::ssize(layers_) * config.n_kv_heads, [&](std::int64_t item) {
    const Sums& sums = layers_[item / config.n_kv_heads];
    if (sums.count == 0) return;
    const Turns& of_layer = turns_of(item / config.n_kv_heads);
    const double cap = config.layer(item / config.n_kv_heads).attention_soft_cap;
    const std::int64_t half = of_layer.half;
    const std::int64_t kv_head = item % config.n_kv_heads;
    const double per_product = static_cast<double>(config.attention_scale(item / config.n_kv_heads)) /
                               (static_cast<double>(sums.count) * static_cast<double>(sums.count));
    const double* k = sums.keys.data() + kv_head * d;
    double score = 0;
    for (std::int64_t g = 0; g < config.group_size(); ++g) {
      const double* q = sums.queries.data() + (kv_head * config.group_size() + g) * d;
      std::vector<double> logits(static_cast<std::size_t>(kPositions), 0.0);
      for (std::int64_t p = 0; p < kPositions; ++p) {
        const std::int64_t row = (kPositions - 1 - p) * half;
        double sum = 0;
        for (std::int64_t i = 0; i < half; ++i) {
          // Each pair of channels as a complex number: Re(q conj(k) e^(i distance frequency)).
          const double real = q[i] * k[i] + q[i + half] * k[i + half];
          const double imaginary = q[i + half] * k[i] - q[i] * k[i + half];
          const auto at = static_cast<std::size_t>(row + i);
          sum += real * of_layer.cosines[at] - imaginary * of_layer.sines[at];
        }
        for (std::int64_t i = 2 * half; i < d; ++i) sum += q[i] * k[i];
        logits[p] = cap > 0 ? cap * std::tanh(sum * per_product / cap) : sum * per_product;
      }
      const double max = *std::max_element(logits.begin(), logits.end());
      double total = 0;
      double area = 0;  // the mean of cumulated weights: weight p counts in P - p of the P sums
      for (std::int64_t p = 0; p < kPositions; ++p) {
        const double weight = std::exp(logits[p] - max);
        total += weight;
        area += weight * static_cast<double>(kPositions - p) / static_cast<double>(kPositions);
      }
      score += area / total;
    }
    result[item] = static_cast<float>(score / static_cast<double>(config.group_size()));
  });
  return result;
}

}  // namespace kvpress
