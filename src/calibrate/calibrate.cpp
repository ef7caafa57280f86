#include "calibrate/calibrate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "kvpress/base/error.h"
#include "kvpress/engine/sequence.h"

namespace kvpress {
namespace {

/// Tokens of a pass: long texts must not need deep activations.
constexpr std::int64_t kBlock = 2048;

}  // namespace

std::span<const CalibrationMethod> calibration_methods() {
  static constexpr std::array kAll = {
      CalibrationMethod{"qfilter", "main direction of the queries of each KV head", "qfilter(file={})",
                        calibrate_qfilter},
      CalibrationMethod{"expected_attention", "mean and covariance of the queries of each head before RoPE",
                        "expected_attention(stats={})", calibrate_expected_attention},
      CalibrationMethod{"duo_attention", "how far back each head attends, from mean queries and keys",
                        "duo_attention(file={})", calibrate_duo_attention},
      CalibrationMethod{"kvzap_linear", "linear model per layer that predicts KVzip+ scores",
                        "kvzap(model_type=linear, file={})", calibrate_kvzap_linear, true},
  };
  return kAll;
}

const CalibrationMethod& calibration_method(std::string_view name) {
  std::vector<std::string_view> names;
  for (const CalibrationMethod& it : calibration_methods()) {
    if (it.name == name) return it;
    names.push_back(it.name);
  }
  fail_usage("calibrate: method '{}' is not known; known: {}", name, fmt::join(names, ", "));
}

std::vector<TokenizedText> cut_into_pieces(const std::vector<TokenizedText>& texts, std::int64_t max_length) {
  std::vector<TokenizedText> pieces;
  for (const TokenizedText& text : texts) {
    const auto n = static_cast<std::int64_t>(text.ids.size());
    std::size_t first_byte = 0;
    for (std::int64_t first = 0; first < n; first += max_length) {
      const std::int64_t end = std::min(first + max_length, n);
      if (first > 0 && end - first < max_length / 2) break;
      TokenizedText& piece = pieces.emplace_back();
      piece.ids.assign(text.ids.begin() + first, text.ids.begin() + end);
      piece.n_bytes.assign(text.n_bytes.begin() + first, text.n_bytes.begin() + end);
      piece.name = first == 0 ? text.name : fmt::format("{}, from token {} on", text.name, first);
      const auto n_bytes =
          static_cast<std::size_t>(std::accumulate(piece.n_bytes.begin(), piece.n_bytes.end(), std::int64_t{0}));
      if (first_byte < text.decoded.size()) piece.decoded = text.decoded.substr(first_byte, n_bytes);
      first_byte += n_bytes;
    }
  }
  return pieces;
}

void read(const TokenizedText& text, Sequence& sequence, std::span<const std::int32_t> tokens) {
  try {
    sequence.append(tokens);
  } catch (const NotFinite& error) {
    throw text.located(error);
  }
}

std::vector<NamedTensor> calibrated(const CalibrationMethod& method, const Calibration& calibration) {
  std::vector<NamedTensor> tensors = method.run(calibration);
  for (const NamedTensor& it : tensors) {
    const auto bad =
        std::find_if_not(it.values.begin(), it.values.end(), [](float value) { return std::isfinite(value); });
    if (bad == it.values.end()) continue;
    fail(
        "calibrate {}: value {} of {} is not finite: sums over these texts are too large, or the model is damaged; use "
        "other or fewer texts, or another {}",
        method.name, bad - it.values.begin(), it.name, setting("dtype"));
  }
  return tensors;
}

void read_texts(const Calibration& calibration, const std::function<void(const AttentionBlock&)>& on_block,
                const std::function<void()>& after_text) {
  CompressionSettings full;
  full.cache_format = calibration.cache_format;
  for (const TokenizedText& text : calibration.texts) {
    Sequence sequence(calibration.model, full);
    sequence.set_block_watcher(on_block);
    const auto n = static_cast<std::int64_t>(text.ids.size());
    for (std::int64_t first = 0; first < n; first += kBlock) {
      const std::int64_t length = std::min(kBlock, n - first);
      read(text, sequence,
           std::span(text.ids).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(length)));
      if (calibration.on_progress) calibration.on_progress(length);
    }
    if (after_text) after_text();
  }
}

}  // namespace kvpress
