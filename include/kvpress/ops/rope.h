// Rotary positions (https://arxiv.org/abs/2104.09864) in the half-rotated form of GPT-NeoX and of transformers' Llama:
// channel i turns with channel i + rotary_dim / 2; channels past rotary_dim stay.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace kvpress {

/// cos and sin of position * frequency, computed once per position and kept.
class Rope {
 public:
  Rope() = default;
  /// `inverse_frequencies` has rotary_dim / 2 values.
  explicit Rope(std::vector<float> inverse_frequencies) : inverse_frequencies_(std::move(inverse_frequencies)) {}

  std::int64_t rotary_dim() const { return 2 * static_cast<std::int64_t>(inverse_frequencies_.size()); }
  const std::vector<float>& inverse_frequencies() const { return inverse_frequencies_; }

  /// Makes positions [0, n) ready; call it before apply() runs on threads.
  void prepare(std::int64_t n);

  /// Turns one head's vector in place (rotary_dim channels of it) to `position`, which prepare() has covered.
  void apply(float* vector, std::int64_t position) const;
  /// Turns it back by `position`: undoes apply(), or moves a key to an earlier place.
  void undo(float* vector, std::int64_t position) const;

  /// cos / sin of one position: rotary_dim / 2 values each.
  const float* cos(std::int64_t position) const { return table_.data() + position * rotary_dim(); }
  const float* sin(std::int64_t position) const { return cos(position) + rotary_dim() / 2; }

 private:
  std::vector<float> inverse_frequencies_;
  std::vector<float> table_;  // per position: rotary_dim / 2 cosines, then as many sines
};

/// The turns of each layer of a model. Layers of the same frequencies share one, whose table is held once.
class LayerRopes {
 public:
  /// One for all layers: without any frequencies, none turns.
  LayerRopes(Rope all = {}) { ropes_.push_back(std::move(all)); }  // NOLINT(google-explicit-constructor)
  /// One frequency list a layer.
  explicit LayerRopes(const std::vector<std::vector<float>>& frequencies);

  const Rope& of(std::int64_t layer) const { return ropes_[index(layer)]; }
  Rope& of(std::int64_t layer) { return ropes_[index(layer)]; }
  /// Makes positions [0, n) of all ready.
  void prepare(std::int64_t n);
  /// Whether every layer turns by the same frequencies as in the other.
  bool same_turns(const LayerRopes& other) const;

 private:
  std::size_t index(std::int64_t layer) const { return of_layer_.empty() ? 0 : of_layer_[layer]; }

  std::vector<Rope> ropes_;
  std::vector<std::size_t> of_layer_;  // empty: the first is every layer's
};

/// 1 / base^(2i / rotary_dim), as transformers computes it in float32.
std::vector<float> rope_frequencies(std::int64_t rotary_dim, double base);

/// Llama 3's stretching of low frequencies for contexts longer than `original_context`.
struct Llama3Scaling {
  double factor = 8.0;
  double low_frequency_factor = 1.0;
  double high_frequency_factor = 4.0;
  double original_context = 8192;
};
void scale_frequencies(std::vector<float>& inverse_frequencies, const Llama3Scaling& scaling);

}  // namespace kvpress
