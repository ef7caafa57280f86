// DuoAttention's scores as kvpress 0.5.5 computes them on the fly (press/duo_scores.h): of each text, then their mean.
#include "calibrate/calibrate.h"
#include "kvpress/base/error.h"
#include "press/kit/duo_scores.h"

namespace kvpress {

std::vector<NamedTensor> calibrate_duo_attention(const Calibration& calibration) {
  const ModelConfig& config = calibration.model.config();
  if (!config.has_rope()) {
    fail_usage(
        "calibrate duo_attention: heads are told apart by RoPE, and the model has none; a pattern must be trained");
  }
  NamedTensor scores{"head_scores", {config.n_layers, config.n_kv_heads}, {}};
  scores.values.resize(static_cast<std::size_t>(config.n_layers * config.n_kv_heads), 0.0f);
  DuoScores text;
  read_texts(
      calibration,
      [&](const AttentionBlock& block) {
        text.add({block, {}});
      },
      [&] {
        const std::vector<float> of_text = text.scores(config);
        const auto n_texts = static_cast<float>(calibration.texts.size());
        for (std::size_t i = 0; i < of_text.size(); ++i) scores.values[i] += of_text[i] / n_texts;
        text = {};
      });
  // What streaming heads keep unless the press says otherwise: kvpress's sizes for such scores.
  return {std::move(scores), {"sink_size", {1}, {128}}, {"recent_size", {1}, {256}}};
}

}  // namespace kvpress
