// KVzap's linear model (https://arxiv.org/abs/2601.07891): for each layer a ridge regression from what attention reads
// of a token to the logarithm of its KVzip+ scores, one output a KV head. As kvpress trains it: a penalty of 1, with
// intercept. Here every token counts, there up to 500 of each text.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "calibrate/calibrate.h"
#include "calibrate/ridge.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/engine/sequence.h"
#include "kvpress/press/press.h"
#include "ops/rowwise.h"
#include "press/kit/kvzip_scores.h"

namespace kvpress {
namespace {

constexpr double kPenalty = 1.0;
/// Scores that underflow have no logarithm.
constexpr float kLeast = 1e-30f;

void check_memory_of_fit(const ModelConfig& config, std::int64_t longest) {
  const double sums = Ridge::bytes(config.hidden_size) * static_cast<double>(config.n_layers + 3);
  const double hidden = 4.0 * static_cast<double>(longest * config.hidden_size * (config.n_layers + 1));
  const auto available = static_cast<double>(available_bytes());
  if (sums + hidden > available) {
    fail(
        "calibrate kvzap_linear: fitting {1} layers of {2} inputs needs {0}, but {3} are available; use a smaller {4} "
        "or a smaller model",
        format_bytes(sums + hidden), config.n_layers, config.hidden_size, format_bytes(available),
        setting("max_length"));
  }
}

/// The regressions of all layers, and what they are made of.
struct Fit {
  const Tokenizer* tokenizer;
  std::vector<Ridge> layers;
};

/// A press that keeps everything and learns from each text: what attention reads of it, layer by layer in the type it
/// comes in, and then the text's KVzip+ scores.
class Learner : public ContextPress<Learner> {
 public:
  explicit Learner(Fit& fit) : fit_(&fit) {}

  PressNeeds needs() const override {
    PressNeeds needs;
    needs.every_block = true;
    needs.n_carried = 1;  // the scores
    return needs;
  }

  void observe(const LayerView& layer) override {
    const Activations& hidden = layer.block.hidden;
    const auto l = static_cast<std::size_t>(layer.block.layer);
    if (hidden_.size() <= l) hidden_.resize(l + 1);
    const auto* from = hidden.as<std::byte>();
    hidden_[l].insert(hidden_[l].end(), from,
                      from + static_cast<std::size_t>(hidden.rows * hidden.cols) * size_of(hidden.type));
    type_ = hidden.type;
  }

  void compress_context(const ContextView& context) override {
    const ModelConfig& config = context.model.config();
    const auto n = static_cast<std::int64_t>(context.tokens.size());
    KVzipScores kvzip;
    kvzip.normalized = true;
    kvzip.chunk_size = n;  // repeated as a whole, as when the published models were trained
    kvzip.prepare({config, "", fit_->tokenizer});
    kvzip.update(context);
    AlignedVector<float> inputs;
    AlignedVector<float> outputs(static_cast<std::size_t>(n * config.n_kv_heads));
    for (const std::int64_t l : context.layers()) {
      const auto& bytes = hidden_[l];
      inputs.resize(bytes.size() / size_of(type_));
      to_float(bytes.data(), type_, inputs.data(), static_cast<std::int64_t>(inputs.size()));
      for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
        const auto scores = context.carried(l, h, 0);
        for (std::int64_t t = 0; t < n; ++t) {
          outputs[t * config.n_kv_heads + h] = std::log(std::max(scores[t], kLeast));
        }
      }
      fit_->layers[l].add({inputs.data(), n, config.hidden_size}, {outputs.data(), n, config.n_kv_heads});
    }
  }

 private:
  Fit* fit_;
  std::vector<std::vector<std::byte>> hidden_;
  DType type_ = DType::f32;
};

NamedTensor zeros(std::string name, std::vector<std::int64_t> shape) {
  std::int64_t n = 1;
  for (const std::int64_t it : shape) n *= it;
  return {std::move(name), std::move(shape), std::vector<float>(static_cast<std::size_t>(n), 0.0f)};
}

}  // namespace

std::vector<NamedTensor> calibrate_kvzap_linear(const Calibration& calibration) {
  const Model& model = calibration.model;
  const ModelConfig& config = model.config();
  std::int64_t longest = 0;
  for (const TokenizedText& it : calibration.texts) longest = std::max<std::int64_t>(longest, std::ssize(it.ids));
  check_memory_of_fit(config, longest);
  Fit learned{calibration.tokenizer, {}};
  learned.layers.resize(static_cast<std::size_t>(config.n_layers), {config.hidden_size, config.n_kv_heads});
  CompressionSettings settings;
  settings.press = {"calibrate", std::make_shared<Learner>(learned)};
  settings.budget = Budget::of_ratio(0.5);  // at 0 no press is asked
  settings.cache_format = calibration.cache_format;
  for (const TokenizedText& text : calibration.texts) {
    Sequence sequence(model, settings);
    read(text, sequence, text.ids);
    if (calibration.on_progress) calibration.on_progress(sequence.n_tokens());
  }
  std::vector<NamedTensor> tensors;
  const auto n_fitted =
      std::count_if(config.layers.begin(), config.layers.end(), [](const LayerSpec& it) { return it.window == 0; });
  if (n_fitted == 0) fail_usage("calibrate kvzap_linear: every layer of the model has a window, and none is scored");
  double explained = 0;
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    if (config.layer(l).window > 0) {  // which presses leave alone: scored by nothing
      tensors.push_back(zeros(fmt::format("layers.{}.weight", l), {config.n_kv_heads, config.hidden_size}));
      tensors.push_back(zeros(fmt::format("layers.{}.bias", l), {config.n_kv_heads}));
      continue;
    }
    const Ridge::Fit fit = learned.layers[l].fit(kPenalty);
    explained += fit.explained / static_cast<double>(n_fitted);
    tensors.push_back({fmt::format("layers.{}.weight", l), {config.n_kv_heads, config.hidden_size}, fit.weight});
    tensors.push_back({fmt::format("layers.{}.bias", l), {config.n_kv_heads}, fit.bias});
  }
  log_info(fmt::format("calibrate kvzap_linear: explains {:.0f} % of the variance of the scores on these texts",
                       100 * explained));
  return tensors;
}

}  // namespace kvpress
