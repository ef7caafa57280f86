// Makes the trained parts of presses from texts. Each method reads the texts with the full cache and returns the
// tensors of the file that its press reads (docs/presses.md, "Trained parts"). Each method has a file calibrate_*.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "formats/safetensors.h"
#include "kvpress/base/dtype.h"
#include "kvpress/engine/sequence.h"
#include "kvpress/eval/run.h"
#include "kvpress/model/attention_listener.h"
#include "kvpress/model/model.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {

struct Calibration {
  const Model& model;
  std::span<const TokenizedText> texts;  ///< each is read from position 0
  CacheFormat cache_format = {};
  std::int64_t n_sink = 4;  ///< expected_attention: number of first tokens whose queries are ignored
  const Tokenizer* tokenizer = nullptr;
  OnProgress on_progress = {};  ///< receives numbers of tokens; progress_total(texts) in total
};

struct CalibrationMethod {
  std::string_view name;     ///< the name in "kvpress calibrate"
  std::string_view summary;  ///< its result, in one line
  std::string_view usage;    ///< the press that reads the file; {} stands for its path
  /// Throws UsageError if there are too few texts.
  std::vector<NamedTensor> (*run)(const Calibration& calibration);
  bool repeats_text = false;  ///< reads each text twice, which needs twice the positions
};

std::span<const CalibrationMethod> calibration_methods();
/// Throws UsageError that lists the known methods.
const CalibrationMethod& calibration_method(std::string_view name);

std::vector<NamedTensor> calibrate_qfilter(const Calibration& calibration);
std::vector<NamedTensor> calibrate_expected_attention(const Calibration& calibration);
std::vector<NamedTensor> calibrate_duo_attention(const Calibration& calibration);
std::vector<NamedTensor> calibrate_kvzap_linear(const Calibration& calibration);

/// Runs a method. Throws Error, which names the method and the tensor, for a value that is NaN or infinite.
std::vector<NamedTensor> calibrated(const CalibrationMethod& method, const Calibration& calibration);

/// Cuts texts into pieces of at most max_length tokens. The last piece of a text that was cut is dropped if it is
/// shorter than half of max_length.
std::vector<TokenizedText> cut_into_pieces(const std::vector<TokenizedText>& texts, std::int64_t max_length);

/// Sequence::append() of tokens of a text, whose name NotFinite then says.
void read(const TokenizedText& text, Sequence& sequence, std::span<const std::int32_t> tokens);

/// Reads each text with a new cache. Calls `on_block` for each block of each layer, and `after_text` after each text.
void read_texts(const Calibration& calibration, const std::function<void(const AttentionBlock&)>& on_block,
                const std::function<void()>& after_text = {});

}  // namespace kvpress
