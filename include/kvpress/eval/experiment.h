// One model on one data set under one protocol: the full cache is run once and every press is compared with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvpress/eval/compare.h"
#include "kvpress/eval/run.h"

namespace kvpress {

/// A run and how it compares with the full cache's.
struct Outcome {
  std::string press;
  double compression_ratio = 0;
  RunResult run;
  Comparison comparison;
};

class Experiment {
 public:
  /// Keeps a reference to the model. Throws UsageError when the settings make no sense for the texts.
  Experiment(const Model& model, std::vector<TokenizedText> texts, const RunSettings& settings);

  /// Runs the first segment once, unmeasured: products are compiled and pages touched before anything is timed.
  void warm_up();

  /// The full cache's run, made when first asked for. Nothing is quantized in it: what that costs shows like the rest.
  const RunResult& baseline();

  /// A run of its own, with a fresh press, whatever ran before. With a fixed budget the ratio is not used; the
  /// outcome's is then the share of the full cache that is evicted.
  Outcome run(const NamedPress& press, double compression_ratio) {
    return run(press, compression_ratio, settings_.compression.cache_format);
  }
  /// The same with a cache of its own format.
  Outcome run(const NamedPress& press, double compression_ratio, const CacheFormat& cache_format);
  /// The full cache's run: compared with itself or, where the settings quantize, with what it would be without.
  Outcome full();

  /// Progress of every later run goes here, in place of a bar of its own.
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
