#include "engine/shapes.h"

#include "kvpress/base/error.h"
#include "kvpress/ops/rope.h"

namespace kvpress {
namespace {

ModelConfig pythia(std::int64_t n_layers, std::int64_t hidden_size, std::int64_t n_heads) {
  ModelConfig config;
  config.architecture = "gpt_neox";
  config.hidden_size = hidden_size;
  config.n_heads = config.n_kv_heads = n_heads;
  config.head_dim = hidden_size / n_heads;
  config.vocab_size = 50304;
  config.max_positions = 2048;
  LayerSpec layer;
  layer.parallel = true;
  layer.biases = {true, true, true, true, true, true};
  layer.activation = Activation::gelu_erf;
  layer.intermediate_size = 4 * hidden_size;
  layer.rope.inverse_frequencies = rope_frequencies(config.head_dim / 4, 10000.0);
  config.set_layers(n_layers, layer);
  return config;
}

ModelConfig smollm2() {
  ModelConfig config;
  config.architecture = "llama";
  config.hidden_size = 576;
  config.n_heads = 9;
  config.n_kv_heads = 3;
  config.head_dim = 64;
  config.vocab_size = 49152;
  config.max_positions = 8192;
  config.tied_output = true;
  config.final_norm = NormKind::rms_norm;
  LayerSpec layer;
  layer.norm = NormKind::rms_norm;
  layer.gated = true;
  layer.activation = Activation::silu;
  layer.intermediate_size = 1536;
  layer.rope.inverse_frequencies = rope_frequencies(64, 100000.0);
  config.set_layers(30, layer);
  return config;
}

}  // namespace

ModelConfig named_shape(const std::string& name) {
  if (name == "pythia-70m") return pythia(6, 512, 8);
  if (name == "pythia-160m") return pythia(12, 768, 12);
  if (name == "smollm2-135m") return smollm2();
  fail_usage("shape '{}' is not known; known: pythia-70m, pythia-160m, smollm2-135m", name);
}

}  // namespace kvpress
