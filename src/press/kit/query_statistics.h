// The mean and covariance of a layer's queries before RoPE, gathered block by block, and what RoPE makes of them on
// average over positions ahead.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// Per query head. Blocks are merged as in Chan, Golub and LeVeque (1983), so that no precision is lost to large means.
class QueryStatistics {
 public:
  /// Takes in the block's queries but for those of the text's first n_sink positions.
  void add(const AttentionBlock& block, std::int64_t n_sink, bool with_covariance);

  std::int64_t count() const { return count_; }
  /// [head_dim]; zeros before anything was taken in.
  std::span<const float> mean(std::int64_t head) const;
  /// [head_dim, head_dim], divided by the count.
  std::vector<float> covariance(std::int64_t head) const;

 private:
  std::int64_t head_dim_ = 0;
  std::int64_t count_ = 0;
  std::vector<float> means_;     // [n_heads, head_dim]
  std::vector<float> scatters_;  // [n_heads, head_dim, head_dim]: sums of centred outer products
};

/// The mean of RoPE's rotation over positions [first, first + n): a linear map R of a head's channels.
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

/// Of each KV head, over its next n positions: in a renumbered cache heads go on from different ones.
std::vector<AverageRotation> rotations_ahead(const LayerView& layer, std::int64_t n);

}  // namespace kvpress
