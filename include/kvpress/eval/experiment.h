// An experiment: one model, one data set, one protocol. The full cache is run once, and each press is compared with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvpress/eval/compare.h"
#include "kvpress/eval/run.h"

namespace kvpress {

/// A run and its comparison with the full cache.
struct Outcome {
  std::string press;
  double compression_ratio = 0;
  RunResult run;
  Comparison comparison;
};

class Experiment {
 public:
  /// The model is not owned and must outlive the experiment. Throws UsageError if the settings do not fit the texts.
  Experiment(const Model& model, std::vector<TokenizedText> texts, const RunSettings& settings);

  /// Runs the first segment once without measuring, so that products are compiled and pages are mapped before the first
  /// measured run.
  void warm_up();

  /// The run of the full cache, without quantization. Runs on the first call.
  const RunResult& baseline();

  /// Runs a fresh copy of the press. With a fixed budget compression_ratio is ignored, and that of the outcome is the
  /// share of the full cache that was evicted.
  Outcome run(const NamedPress& press, double compression_ratio) {
    return run(press, compression_ratio, settings_.compression.cache_format);
  }
  /// The same with another format of the cache.
  Outcome run(const NamedPress& press, double compression_ratio, const CacheFormat& cache_format);
  /// The full cache, quantized if the settings say so, compared with baseline().
  Outcome full();

  /// Sends the progress of later runs to this function instead of a progress bar.
  void report_to(OnProgress on_progress) { on_progress_ = std::move(on_progress); }

  const std::vector<TokenizedText>& texts() const { return texts_; }
  const RunSettings& settings() const { return settings_; }
  std::int64_t n_tokens() const { return progress_total(texts_); }

 private:
  RunResult measure(const NamedPress& press, double compression_ratio, const CacheFormat& cache_format) const;

  const Model& model_;
  std::vector<TokenizedText> texts_;
  RunSettings settings_;
  std::optional<RunResult> baseline_;
  OnProgress on_progress_;
};

}  // namespace kvpress
