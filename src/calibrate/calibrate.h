// Making the trained parts of presses from texts: each method reads the texts with the full cache and returns the
// tensors of the file that its press reads (docs/presses.md, "Trained parts"). One method, one file: calibrate_*.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "formats/safetensors.h"
#include "kvpress/base/dtype.h"
#include "kvpress/eval/run.h"
#include "kvpress/model/attention_listener.h"
#include "kvpress/model/model.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {

struct Calibration {
  const Model& model;
  std::span<const TokenizedText> texts;  ///< each is read from position 0
  CacheFormat cache_format = {};
  std::int64_t n_sink = 4;  ///< expected_attention: first tokens of a text whose queries are left out
  const Tokenizer* tokenizer = nullptr;
  OnProgress on_progress = {};  ///< told tokens as they are read; progress_total(texts) in all
};

struct CalibrationMethod {
  std::string_view name;     ///< what "kvpress calibrate" calls it
  std::string_view summary;  ///< what it makes, in a line
  std::string_view usage;    ///< the press that reads it, {} for the file
  /// Throws UsageError when the texts do not suffice.
  std::vector<NamedTensor> (*run)(const Calibration& calibration);
  bool repeats_text = false;  ///< the model reads each text twice, and must have the positions for it
};

std::span<const CalibrationMethod> calibration_methods();
/// Throws UsageError listing the known ones.
const CalibrationMethod& calibration_method(std::string_view name);

std::vector<NamedTensor> calibrate_qfilter(const Calibration& calibration);
std::vector<NamedTensor> calibrate_expected_attention(const Calibration& calibration);
std::vector<NamedTensor> calibrate_duo_attention(const Calibration& calibration);
std::vector<NamedTensor> calibrate_kvzap_linear(const Calibration& calibration);

/// Cuts texts into pieces of at most max_length tokens, so that no token stands farther back than that. Of a text that
/// was cut, a last piece shorter than half of max_length is dropped.
std::vector<TokenizedText> cut_into_pieces(const std::vector<TokenizedText>& texts, std::int64_t max_length);

/// Reads every text with a fresh cache; `on_block` sees every block of every layer, `after_text` is called after each.
void read_texts(const Calibration& calibration, const std::function<void(const AttentionBlock&)>& on_block,
                const std::function<void()>& after_text = {});

}  // namespace kvpress
