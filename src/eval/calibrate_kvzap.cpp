// KVzap's linear model (https://arxiv.org/abs/2601.07891): for each layer a ridge regression from what attention reads
// of a token to the logarithm of its KVzip+ scores, one output a KV head. As kvpress trains it: a penalty of 1, with
// intercept. Here every token counts, there up to 500 of each text.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/eval/calibrate.h"
#include "kvpress/eval/ridge.h"
#include "kvpress/ops/rowwise.h"
#include "kvpress/press/kvzip_scores.h"

namespace kvpress {
namespace {

constexpr double kPenalty = 1.0;
/// Scores that underflow have no logarithm.
constexpr float kLeast = 1e-30f;

/// Keeps what attention reads, layer by layer, in the type it comes in.
class HiddenStates : public AttentionListener {
 public:
  void after_attention(const AttentionBlock& block) override {
    const auto l = static_cast<std::size_t>(block.layer);
    if (layers_.size() <= l) layers_.resize(l + 1);
    const auto* from = block.hidden.as<std::byte>();
    const std::size_t bytes = static_cast<std::size_t>(block.n_new * block.hidden.cols) * size_of(block.hidden.type);
    layers_[l].insert(layers_[l].end(), from, from + bytes);
    type_ = block.hidden.type;
  }
  void of_layer(std::int64_t layer, AlignedVector<float>& to) const {
    const auto& bytes = layers_[static_cast<std::size_t>(layer)];
    to.resize(bytes.size() / size_of(type_));
    to_float(bytes.data(), type_, to.data(), static_cast<std::int64_t>(to.size()));
  }

 private:
  std::vector<std::vector<std::byte>> layers_;
  DType type_ = DType::f32;
};

void check_memory_of_fit(const ModelConfig& config, std::int64_t longest) {
  const double sums = Ridge::bytes(config.hidden_size) * static_cast<double>(config.n_layers + 3);
  const double hidden = 4.0 * static_cast<double>(longest * config.hidden_size * (config.n_layers + 1));
  const auto available = static_cast<double>(available_bytes());
  if (sums + hidden > available) {
    fail(
        "calibrate kvzap_linear: fitting {1} layers of {2} inputs needs {0}, but {3} are available; use a smaller "
        "--max-length or a smaller model",
        format_bytes(sums + hidden), config.n_layers, config.hidden_size, format_bytes(available));
  }
}

/// The logarithms of the text's KVzip+ scores, [layers][KV heads][tokens]. The cache holds the text and carries a
/// float.
std::vector<Scores> log_scores(const Calibration& calibration, KVCache& cache, const std::vector<std::int32_t>& text) {
  const ModelConfig& config = calibration.model.config();
  KVzipScores kvzip;
  kvzip.normalized = true;
  kvzip.chunk_size = std::ssize(text);  // repeated as a whole, as when the published models were trained
  kvzip.prepare({config, "", calibration.tokenizer});
  const BudgetView budget{.n_seen = std::ssize(text)};  // the repetition's first position
  kvzip.update({calibration.model, cache, text, std::ssize(text), budget});
  std::vector<Scores> logarithms(static_cast<std::size_t>(config.n_layers));
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
      auto& row = logarithms[static_cast<std::size_t>(l)].emplace_back();
      for (const float score : cache.head(l, h).carried(0)) row.push_back(std::log(std::max(score, kLeast)));
    }
  }
  return logarithms;
}

}  // namespace

std::vector<NamedTensor> calibrate_kvzap_linear(const Calibration& calibration) {
  const Model& model = calibration.model;
  const ModelConfig& config = model.config();
  std::int64_t longest = 0;
  for (const TokenizedText& it : calibration.texts) longest = std::max<std::int64_t>(longest, std::ssize(it.ids));
  check_memory_of_fit(config, longest);
  std::vector<Ridge> layers(static_cast<std::size_t>(config.n_layers), {config.hidden_size, config.n_kv_heads});
  AlignedVector<float> last(static_cast<std::size_t>(config.hidden_size));
  AlignedVector<float> inputs;
  AlignedVector<float> outputs;
  for (const TokenizedText& text : calibration.texts) {
    const auto n = static_cast<std::int64_t>(text.ids.size());
    HiddenStates hidden;
    KVCache cache = model.make_cache(calibration.cache_format, 1);
    model.forward({text.ids, 0, cache, &hidden, {last.data(), 1, config.hidden_size}});
    const std::vector<Scores> wanted = log_scores(calibration, cache, text.ids);
    for (std::int64_t l = 0; l < config.n_layers; ++l) {
      hidden.of_layer(l, inputs);
      outputs.resize(static_cast<std::size_t>(n * config.n_kv_heads));
      for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
        const auto& row = wanted[static_cast<std::size_t>(l)][static_cast<std::size_t>(h)];
        for (std::int64_t t = 0; t < n; ++t) {
          outputs[static_cast<std::size_t>(t * config.n_kv_heads + h)] = row[static_cast<std::size_t>(t)];
        }
      }
      layers[static_cast<std::size_t>(l)].add({inputs.data(), n, config.hidden_size},
                                              {outputs.data(), n, config.n_kv_heads});
    }
    if (calibration.on_progress) calibration.on_progress(n);
  }
  std::vector<NamedTensor> tensors;
  double explained = 0;
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    const Ridge::Fit fit = layers[static_cast<std::size_t>(l)].fit(kPenalty);
    explained += fit.explained / static_cast<double>(config.n_layers);
    tensors.push_back({fmt::format("layers.{}.weight", l), {config.n_kv_heads, config.hidden_size}, fit.weight});
    tensors.push_back({fmt::format("layers.{}.bias", l), {config.n_kv_heads}, fit.bias});
  }
  log_info(fmt::format("calibrate kvzap_linear: explains {:.0f} % of the variance of the scores on these texts",
                       100 * explained));
  return tensors;
}

}  // namespace kvpress
