// A small random model with grouped queries, and texts of random tokens, for what must hold whatever the numbers.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "engine/random_model.h"
#include "engine/shapes.h"
#include "kvpress/eval/run.h"
#include "kvpress/model/config.h"

namespace kvpress::test {

inline ModelConfig small_config(std::int64_t n_layers = 2, std::int64_t n_kv_heads = 2) {
  ModelConfig config = named_shape("smollm2-135m");
  config.hidden_size = 192;
  config.n_heads = 6;
  config.n_kv_heads = n_kv_heads;
  config.vocab_size = 500;
  LayerSpec layer = config.layer(0);
  layer.intermediate_size = 256;
  config.set_layers(n_layers, layer);
  return config;
}

inline TokenizedText random_text(std::int64_t n) {
  TokenizedText text;
  std::mt19937 random(3);
  for (std::int64_t i = 0; i < n; ++i) text.ids.push_back(static_cast<std::int32_t>(random() % 500));
  text.n_bytes.assign(text.ids.size(), 3);
  return text;
}

/// run_protocol() with a press in the settings.
inline RunResult run_press(const Model& model, const std::vector<TokenizedText>& texts, const NamedPress& press,
                           RunSettings settings) {
  settings.compression.press = press;
  return run_protocol(model, texts, settings);
}

}  // namespace kvpress::test
