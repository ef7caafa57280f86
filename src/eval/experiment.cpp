#include "kvpress/eval/experiment.h"

#include <algorithm>
#include <utility>

#include "kvpress/base/counted.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"

namespace kvpress {

namespace {

/// What a reader of the numbers must know, told once.
void warn_of_blind_spots(const ProtocolSettings& protocol, std::int64_t longest, std::int64_t trained_context) {
  if (protocol.protocol == Protocol::chunked && protocol.chunk_size >= std::min(protocol.max_length, longest)) {
    log_warning_once(
        fmt::format("--chunk-size {} is at least the segment length: no token is scored over a compressed cache, so "
                    "perplexity does not show the effect of compression",
                    protocol.chunk_size));
  }
  if (!protocol.splits_text() && highest_position(protocol, longest) > trained_context) {
    log_warning_once(
        fmt::format("a text of {} tokens exceeds the trained context of {}; beyond it the full cache degrades, and a "
                    "press that is better than it need not be good",
                    longest, trained_context));
  }
}

}  // namespace

Experiment::Experiment(const Model& model, std::vector<TokenizedText> texts, const RunSettings& settings)
    : model_(model), texts_(std::move(texts)), settings_(settings) {
  check_settings(settings_.protocol);
  if (texts_.empty()) fail_usage("no text to score: the data set is empty");
  std::int64_t longest = 0;
  for (const TokenizedText& text : texts_) {
    const auto n = static_cast<std::int64_t>(text.ids.size());
    if (n < 2)
      fail_usage("no text to score: the text has {}; at least 2 are needed", counted(text.ids.size(), "token"));
    if (!settings_.protocol.splits_text()) context_of(settings_.protocol, n);
    longest = std::max(longest, n);
  }
  warn_of_blind_spots(settings_.protocol, longest, model.config().max_positions);
}

void Experiment::warm_up() {
  TokenizedText first = texts_.front();
  auto n = static_cast<std::size_t>(settings_.protocol.splits_text() ? settings_.protocol.max_length
                                                                     : static_cast<std::int64_t>(first.ids.size()));
  // Nor is there after a few chunks: a segment may be a whole book.
  if (settings_.protocol.protocol == Protocol::chunked) {
    n = std::min(n, static_cast<std::size_t>(4 * settings_.protocol.chunk_size));
  }
  first.ids.resize(std::min(n, first.ids.size()));
  first.n_bytes.resize(first.ids.size());
  RunSettings settings = settings_;
  settings.budget = {};
  settings.timeline = false;
  // Token by token there is nothing more to warm up than the first few.
  if (settings.protocol.protocol == Protocol::decode) {
    const auto context =
        static_cast<std::size_t>(context_of(settings.protocol, static_cast<std::int64_t>(first.ids.size())));
    first.ids.resize(std::min(first.ids.size(), context + 4));
    first.n_bytes.resize(first.ids.size());
    settings.protocol.context_tokens = static_cast<std::int64_t>(context);
  }
  run_protocol(model_, {first}, {"no_press", nullptr}, settings);
}

RunResult Experiment::measure(const NamedPress& press, double compression_ratio,
                              const CacheFormat& cache_format) const {
  RunSettings settings = settings_;
  settings.cache_format = cache_format;
  settings.budget.ratio = compression_ratio;
  if (settings.protocol.has_fixed_budget()) settings.budget = {0.0, settings.protocol.target_size};
  if (press.is_none()) {
    settings.budget = {};
    settings.protocol.compression_interval = 0;
    settings.protocol.target_size.reset();
  }
  if (on_progress_) return run_protocol(model_, texts_, press, settings, on_progress_);
  Progress progress(press.text, n_tokens());
  return run_protocol(model_, texts_, press, settings, [&](std::int64_t n) { progress.advance(n); });
}

const RunResult& Experiment::baseline() {
  if (!baseline_) baseline_ = measure({"no_press", nullptr}, 0.0, settings_.cache_format.type);
  return *baseline_;
}

Outcome Experiment::full() {
  if (settings_.cache_format.bits > 0) return run({"no_press", nullptr}, 0.0);
  Comparison same;
  same.top1_agreement = 1;
  return {"no_press", 0.0, baseline(), same};
}

double Experiment::share_evicted(const RunResult& full) const {
  // What the budget leaves of the cache that would have been the largest when compressing ended.
  return std::max(0.0, 1.0 - static_cast<double>(*settings_.protocol.target_size) / full.cache_tokens);
}

Outcome Experiment::run(const NamedPress& press, double compression_ratio, const CacheFormat& cache_format) {
  const RunResult& full = baseline();
  if (settings_.protocol.has_fixed_budget()) compression_ratio = share_evicted(full);
  Outcome outcome{
      press.text, press.uses_ratio() ? compression_ratio : 0.0, measure(press, compression_ratio, cache_format), {}};
  outcome.comparison = compare_runs(model_, full, outcome.run, settings_.seed);
  return outcome;
}

}  // namespace kvpress
