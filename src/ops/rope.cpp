#include "kvpress/ops/rope.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace kvpress {

void Rope::prepare(std::int64_t n) {
  const std::int64_t half = rotary_dim() / 2;
  if (half == 0) return;
  auto known = static_cast<std::int64_t>(table_.size()) / (2 * half);
  if (known >= n) return;
  table_.resize(static_cast<std::size_t>(n * 2 * half));
  for (; known < n; ++known) {
    float* row = table_.data() + known * 2 * half;
    for (std::int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(known) * inverse_frequencies_[i];
      row[i] = std::cos(angle);
      row[half + i] = std::sin(angle);
    }
  }
}

void Rope::apply(float* vector, std::int64_t position) const {
  const std::int64_t half = rotary_dim() / 2;
  const float* c = cos(position);
  const float* s = sin(position);
  for (std::int64_t i = 0; i < half; ++i) {
    const float x = vector[i];
    const float y = vector[i + half];
    vector[i] = x * c[i] - y * s[i];
    vector[i + half] = y * c[i] + x * s[i];
  }
}

void Rope::undo(float* vector, std::int64_t position) const {
  const std::int64_t half = rotary_dim() / 2;
  const float* c = cos(position);
  const float* s = sin(position);
  for (std::int64_t i = 0; i < half; ++i) {
    const float x = vector[i];
    const float y = vector[i + half];
    vector[i] = x * c[i] + y * s[i];
    vector[i + half] = y * c[i] - x * s[i];
  }
}

LayerRopes::LayerRopes(const std::vector<std::vector<float>>& frequencies) {
  for (const auto& layer : frequencies) {
    const auto found =
        std::find_if(ropes_.begin(), ropes_.end(), [&](const Rope& it) { return it.inverse_frequencies() == layer; });
    of_layer_.push_back(static_cast<std::size_t>(found - ropes_.begin()));
    if (found == ropes_.end()) ropes_.emplace_back(layer);
  }
}

void LayerRopes::prepare(std::int64_t n) {
  for (Rope& it : ropes_) it.prepare(n);
}

bool LayerRopes::same_turns(const LayerRopes& other) const {
  return of_layer_ == other.of_layer_ &&
         std::equal(ropes_.begin(), ropes_.end(), other.ropes_.begin(), other.ropes_.end(),
                    [](const Rope& a, const Rope& b) { return a.inverse_frequencies() == b.inverse_frequencies(); });
}

std::vector<float> rope_frequencies(std::int64_t rotary_dim, double base) {
  std::vector<float> frequencies(static_cast<std::size_t>(rotary_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary_dim);
    frequencies[i] = 1.0f / std::pow(static_cast<float>(base), exponent);
  }
  return frequencies;
}

void scale_frequencies(std::vector<float>& inverse_frequencies, const Llama3Scaling& scaling) {
  const double low_wavelength = scaling.original_context / scaling.low_frequency_factor;
  const double high_wavelength = scaling.original_context / scaling.high_frequency_factor;
  for (float& frequency : inverse_frequencies) {
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < high_wavelength) continue;
    double scaled = frequency / scaling.factor;
    if (wavelength <= low_wavelength) {
      const double smooth = (scaling.original_context / wavelength - scaling.low_frequency_factor) /
                            (scaling.high_frequency_factor - scaling.low_frequency_factor);
      scaled = (1 - smooth) * scaled + smooth * frequency;
    }
    frequency = static_cast<float>(scaled);
  }
}

}  // namespace kvpress
