#include "kvpress/eval/experiment.h"

#include <algorithm>
#include <utility>

#include "base/counted.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"

namespace kvpress {

namespace {

/// What a reader of the numbers must know, told once.
void warn_of_blind_spots(const RunSettings& settings, std::int64_t longest, std::int64_t trained_context) {
  const ProtocolSettings& protocol = settings.protocol;
  if (protocol.protocol == Protocol::chunked && protocol.chunk_size >= std::min(protocol.max_length, longest)) {
    log_warning_once(
        fmt::format("{} {} is at least the segment length: no token is scored over a compressed cache, so "
                    "perplexity does not show the effect of compression",
                    setting("chunk_size"), protocol.chunk_size));
  }
  if (!protocol.splits_text() && highest_position(protocol, settings.compression, longest) > trained_context) {
    log_warning_once(
        fmt::format("a text of {} tokens exceeds the trained context of {}; beyond it the full cache degrades, and a "
                    "press that is better than it need not be good",
                    longest, trained_context));
  }
}

}  // namespace

Experiment::Experiment(const Model& model, std::vector<TokenizedText> texts, const RunSettings& settings)
    : model_(model), texts_(std::move(texts)), settings_(settings) {
  check_settings(settings_.protocol, settings_.compression);
  if (texts_.empty()) fail_usage("no text to score: the data set is empty");
  std::int64_t longest = 0;
  for (const TokenizedText& text : texts_) {
    const auto n = static_cast<std::int64_t>(text.ids.size());
    if (n < 2)
      fail_usage("no text to score: the text has {}; at least 2 are needed", counted(text.ids.size(), "token"));
    if (!settings_.protocol.splits_text()) context_of(settings_.protocol, n);
    longest = std::max(longest, n);
  }
  warn_of_blind_spots(settings_, longest, model.config().max_positions);
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
  settings.compression = settings.compression.without_press();
  settings.compression.cache_format = settings.compression.cache_format.type;  // of a short text nothing is quantized
  settings.timeline = false;
  // Token by token there is nothing more to warm up than the first few.
  if (settings.protocol.protocol == Protocol::decode) {
    const auto context =
        static_cast<std::size_t>(context_of(settings.protocol, static_cast<std::int64_t>(first.ids.size())));
    first.ids.resize(std::min(first.ids.size(), context + 4));
    first.n_bytes.resize(first.ids.size());
    settings.protocol.context_tokens = static_cast<std::int64_t>(context);
  }
  run_protocol(model_, {first}, settings);
}

RunResult Experiment::measure(const NamedPress& press, double compression_ratio,
                              const CacheFormat& cache_format) const {
  RunSettings settings = settings_;
  settings.compression = settings.compression.with(press, compression_ratio);
  settings.compression.cache_format = cache_format;
  if (on_progress_) return run_protocol(model_, texts_, settings, on_progress_);
  Progress progress(press.text, n_tokens());
  return run_protocol(model_, texts_, settings, [&](std::int64_t n) { progress.advance(n); });
}

const RunResult& Experiment::baseline() {
  if (!baseline_) baseline_ = measure({"no_press", nullptr}, 0.0, settings_.compression.cache_format.type);
  return *baseline_;
}

Outcome Experiment::full() {
  if (settings_.compression.cache_format.bits > 0) return run({"no_press", nullptr}, 0.0);
  Comparison same;
  same.top1_agreement = 1;
  return {"no_press", 0.0, baseline(), same};
}

Outcome Experiment::run(const NamedPress& press, double compression_ratio, const CacheFormat& cache_format) {
  const RunResult& full = baseline();
  Outcome outcome{press.text, compression_ratio, measure(press, compression_ratio, cache_format), {}};
  if (outcome.run.budget_tokens) {
    // What the budget leaves of the cache that would have been the largest when compressing ended.
    outcome.compression_ratio =
        std::max(0.0, 1.0 - static_cast<double>(*outcome.run.budget_tokens) / full.cache_tokens);
  }
  if (!press.uses_ratio()) outcome.compression_ratio = 0;
  const bool asked = !press.is_none() && (outcome.compression_ratio > 0 || !press.uses_ratio());
  if (asked && outcome.run.evicted_share() == 0) {
    log_warning_once(fmt::format("press {} evicted nothing, whatever was asked for", press.text));
  }
  outcome.comparison = compare_runs(model_, full, outcome.run, settings_.compression.seed);
  return outcome;
}

}  // namespace kvpress
