#include "kvpress/eval/run_summary.h"

#include <cmath>
#include <numeric>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

/// Places of a stretch of the perplexity's curve.
constexpr std::int64_t kCurveStep = 4096;

void add_texts(RunSummary& summary, const RunResult& run, const std::vector<std::string>& names,
               const Comparison* comparison) {
  if (names.size() < 2) return;
  std::vector<double> perplexities;
  std::vector<double> nlls;
  const std::vector<ScoredText> texts = scored_texts(run);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto first = run.nll.begin() + static_cast<std::ptrdiff_t>(texts[i].first);
    const auto last = first + static_cast<std::ptrdiff_t>(texts[i].count);
    nlls.push_back(std::accumulate(first, last, 0.0) / static_cast<double>(texts[i].count));
    perplexities.push_back(std::exp(nlls.back()));
    if (!std::isfinite(perplexities.back())) {
      fail("{}: a mean loss of {:.0f} nats has no finite perplexity", names[texts[i].text], nlls.back());
    }
    TextSummary& text = summary.texts.emplace_back();
    text.text = texts[i].text;
    text.name = names[texts[i].text];
    text.n_scored = texts[i].count;
    text.perplexity = perplexities.back();
    text.mean_nll = nlls.back();
    if (comparison == nullptr) continue;
    text.delta_nll = comparison->delta_nll_by_text[i];
    text.kl_full = comparison->kl_by_text[i];
  }
  summary.over_texts = {over_texts(perplexities), over_texts(nlls), {}, {}};
  if (comparison == nullptr) return;
  summary.over_texts->delta_nll = over_texts(comparison->delta_nll_by_text);
  summary.over_texts->kl_full = over_texts(comparison->kl_by_text);
}

RunSummary summary_of(const RunResult& run, const ExperimentInfo& info, const Comparison* comparison) {
  RunSummary summary;
  summary.evicted_share = run.evicted_share();
  summary.perplexity = run.perplexity();
  summary.mean_nll = run.mean_nll();
  summary.n_scored = run.nll.size();
  summary.bits_per_byte = run.bits_per_byte();
  if (comparison != nullptr) {
    summary.quality = {comparison->delta_nll,    comparison->delta_nll_ci95, comparison->kl_full,
                       comparison->kl_full_ci95, comparison->top1_agreement, comparison->units};
  }
  summary.curve = perplexity_curve(run, kCurveStep);
  if (summary.curve.size() == 1) summary.curve.clear();
  summary.cache_tokens = run.cache_tokens;
  summary.cache_bytes = run.cache_bytes;
  summary.cache_bytes_peak = run.cache_bytes_peak;
  summary.peak_rss_bytes = run.peak_rss_bytes;
  summary.cache_format = run.cache_format;
  summary.times = run.times;
  summary.prefill_only = info.prefill_only;
  add_texts(summary, run, info.text_names, comparison);
  return summary;
}

}  // namespace

RunSummary summary_of(const Outcome& outcome, const ExperimentInfo& info) {
  RunSummary summary = summary_of(outcome.run, info, &outcome.comparison);
  summary.press = outcome.press;
  summary.compression_ratio = outcome.compression_ratio;
  return summary;
}

RunSummary summary_of_full(const RunResult& run, const ExperimentInfo& info) {
  RunSummary summary = summary_of(run, info, nullptr);
  summary.press = "no_press";
  return summary;
}

}  // namespace kvpress
