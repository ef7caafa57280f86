// The mean and covariance of the queries of a layer before RoPE, gathered block by block, and their averages under RoPE
// over future positions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// Statistics per query head. Blocks are merged as in Chan, Golub and LeVeque (1983), which is accurate for large
/// means.
class QueryStatistics {
 public:
  /// Adds the queries of the block, except those of the first n_sink positions of the text.
  void add(const AttentionBlock& block, std::int64_t n_sink, bool with_covariance);

  void visit_state(StateVisitor& visitor);

  std::int64_t count() const { return count_; }
  /// [head_dim]; zeros if no query was added.
  std::span<const float> mean(std::int64_t head) const;
  /// [head_dim, head_dim]; the sum is divided by count().
  std::vector<float> covariance(std::int64_t head) const;

 private:
  std::int64_t head_dim_ = 0;
  std::int64_t count_ = 0;
  std::vector<float> means_;     // [n_heads, head_dim]
  std::vector<float> scatters_;  // [n_heads, head_dim, head_dim]: sums of centred outer products
};

/// Multiplies the channels that RoPE turns by `factor`: in files, means and covariances are of queries as the product
/// made them, in a layer with RopeSpec::attention_factor. QueryGrowth, which differs by position, stays in them.
void scale_turned(std::int64_t rotary_dim, float factor, std::span<float> mean);
void scale_turned_both(std::int64_t rotary_dim, float factor, std::int64_t head_dim, std::span<float> covariance);

/// The mean R of the RoPE rotations over positions [first, first + n), a linear map of the channels of a head.
class AverageRotation {
 public:
  AverageRotation(const std::vector<float>& inverse_frequencies, std::int64_t first, std::int64_t n);

  /// R mu
  std::vector<float> mean(std::span<const float> mean) const;
  /// R Sigma R'
  std::vector<float> covariance(std::vector<float> covariance, std::int64_t head_dim) const;

 private:
  void apply(float* vector, std::int64_t stride) const;

  std::vector<float> cos_;
  std::vector<float> sin_;
};

/// The average rotation over the next n positions of each KV head. In a renumbered cache heads have different next
/// positions.
std::vector<AverageRotation> rotations_ahead(const LayerView& layer, std::int64_t n);

}  // namespace kvpress
