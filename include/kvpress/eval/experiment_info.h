// Settings and numbers that all runs of an experiment share. Documents and tables show them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kvpress/engine/open_model.h"
#include "kvpress/eval/run.h"
#include "kvpress/eval/text_input.h"

namespace kvpress {

struct ExperimentInfo {
  std::string model;
  std::string dataset;
  std::string dtype;
  RunSettings settings;  ///< without a press; with context_tokens as computed for the first text
  std::int64_t n_tokens = 0;
  std::vector<std::string> before_text, after_text;  ///< the tokens that were put around each text
  std::vector<std::string> text_names;               ///< of each text; results per text exist for two or more
  bool prefill_only = false;                         ///< runtime_sec includes only prefill and compression
  double load_sec = 0;
  double tokenize_sec = 0;
};

ExperimentInfo experiment_info(const LoadedModel& loaded, const PreparedTexts& texts, const RunSettings& settings,
                               bool prefill_only);

}  // namespace kvpress
