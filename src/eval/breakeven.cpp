#include "eval/breakeven.h"

#include <algorithm>
#include <cmath>

#include "base/median.h"
#include "eval/evicted.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/timer.h"
#include "kvpress/engine/sequence.h"

namespace kvpress {
namespace {

std::vector<double> medians_of_tokens(const AnswerTimes& times) {
  std::vector<double> medians;
  for (std::size_t i = 0; i < static_cast<std::size_t>(times.n_tokens()); ++i) {
    std::vector<double> values;
    for (const std::vector<double>& repeat : times.token_sec) values.push_back(repeat[i]);
    medians.push_back(median(values));
  }
  return medians;
}

}  // namespace

std::int64_t AnswerTimes::n_tokens() const {
  return token_sec.empty() ? 0 : static_cast<std::int64_t>(token_sec.front().size());
}

AnswerTimes AnswerTimes::repeat(std::size_t i) const {
  return {cache_tokens, cache_bytes, {prefill_sec[i]}, {compress_sec[i]}, {token_sec[i]}};
}

void time_answer(const Model& model, std::span<const std::int32_t> context, const CompressionSettings& settings,
                 std::int64_t n_tokens, AnswerTimes& times) {
  Sequence sequence(model, settings);
  sequence.append(context);
  times.prefill_sec.push_back(sequence.times().prefill);
  times.compress_sec.push_back(sequence.times().compress);
  times.cache_tokens = sequence.cache_tokens();
  times.cache_bytes = sequence.cache_bytes();
  warn_if_nothing_is_quantized(sequence);
  sequence.begin_decoding();

  std::vector<double>& seconds = times.token_sec.emplace_back();
  std::int32_t token = 0;
  for (std::int64_t i = 0; i < n_tokens; ++i) {
    check_interrupt();
    const Timer timer;
    if (i > 0) sequence.append({&token, 1});
    token = sequence.most_likely();
    seconds.push_back(timer.seconds());
  }
}

double growth_per_cached_token(std::span<const AnswerTimes> answers) {
  double n = 0, sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
  for (const AnswerTimes& it : answers) {
    const std::vector<double> medians = medians_of_tokens(it);
    for (std::size_t i = 1; i < medians.size(); ++i) {
      const double x = it.cache_tokens + static_cast<double>(i);
      n += 1;
      sum_x += x;
      sum_y += medians[i];
      sum_xx += x * x;
      sum_xy += x * medians[i];
    }
  }
  const double spread = n * sum_xx - sum_x * sum_x;
  return spread > 0 ? (n * sum_xy - sum_x * sum_y) / spread : 0.0;
}

AnswerCurve::AnswerCurve(const AnswerTimes& times, double prefill_sec, double growth_sec)
    : medians_(medians_of_tokens(times)), compress_sec_(median(times.compress_sec)), growth_sec_(growth_sec) {
  sums_.push_back(prefill_sec + compress_sec_);
  for (const double it : medians_) sums_.push_back(sums_.back() + it);
  const std::vector<double> passes(medians_.begin() + (medians_.size() > 1 ? 1 : 0), medians_.end());
  if (!passes.empty()) token_sec_ = median(passes);
}

double AnswerCurve::seconds(std::int64_t n_tokens) const {
  if (is_measured(n_tokens)) return sums_[n_tokens];
  const auto more = static_cast<double>(n_tokens - n_measured());
  // The median pass stands in the middle of those measured; the next come further and further behind it.
  const double first = 0.5 * static_cast<double>(n_measured());
  return sums_.back() + more * (token_sec_ + growth_sec_ * (first + 0.5 * (more - 1)));
}

std::optional<std::int64_t> break_even(const AnswerCurve& full, const AnswerCurve& pressed) {
  const std::int64_t n_measured = std::min(full.n_measured(), pressed.n_measured());
  const auto saved = [&](std::int64_t n) { return full.seconds(n) - pressed.seconds(n); };
  if (!(saved(kLongestAnswer) > 0)) return std::nullopt;
  // Beyond what was measured the saving is a straight line (both caches grow alike): one crossing, found by halving.
  if (!(saved(n_measured) > 0)) {
    std::int64_t behind = n_measured;
    std::int64_t ahead = kLongestAnswer;
    while (ahead - behind > 1) {
      const std::int64_t middle = behind + (ahead - behind) / 2;
      (saved(middle) > 0 ? ahead : behind) = middle;
    }
    return behind;
  }
  std::int64_t behind = n_measured;
  while (behind > 0 && saved(behind) > 0) --behind;
  return behind;
}

double BreakEvenContext::prefill_sec() const {
  std::vector<double> all = full.prefill_sec;
  for (const PressedAnswer& it : runs) {
    all.insert(all.end(), it.times.prefill_sec.begin(), it.times.prefill_sec.end());
  }
  return median(all);
}

double BreakEvenContext::growth_sec() const {
  std::vector<AnswerTimes> all = {full};
  for (const PressedAnswer& it : runs) all.push_back(it.times);
  return growth_per_cached_token(all);
}

std::array<std::optional<std::int64_t>, 2> BreakEvenContext::break_even_spread(const PressedAnswer& run) const {
  std::vector<std::int64_t> reached;
  const double prefill = prefill_sec();
  const double growth = growth_sec();
  for (std::size_t i = 0; i < run.times.token_sec.size(); ++i) {
    const auto it = break_even({full.repeat(i), prefill, growth}, {run.times.repeat(i), prefill, growth});
    if (it) reached.push_back(*it);
  }
  if (reached.empty()) return {};
  const auto [least, most] = std::minmax_element(reached.begin(), reached.end());
  if (reached.size() < run.times.token_sec.size()) return {*least, std::nullopt};
  return {*least, *most};
}

BreakEvenContext BreakEvenContext::repeat(std::size_t i) const {
  BreakEvenContext one = *this;
  one.full = full.repeat(i);
  for (PressedAnswer& it : one.runs) it.times = it.times.repeat(i);
  return one;
}

const PressedAnswer* BreakEvenContext::largest_within(const std::string& press, double tolerance) const {
  const PressedAnswer* best = nullptr;
  for (const PressedAnswer& it : runs) {
    if (it.press != press || !(it.quality.delta_nll_ci95[1] < tolerance) || it.evicted() < kKeptEverything) continue;
    if (best == nullptr || it.evicted() > best->evicted()) best = &it;
  }
  return best;
}

std::optional<ContextBreakEven> context_break_even(std::span<const BreakEvenContext> contexts, std::size_t run,
                                                   std::int64_t n_tokens) {
  const auto saved = [&](const BreakEvenContext& it) {
    return it.full_curve().seconds(n_tokens) - it.curve(it.runs[run]).seconds(n_tokens);
  };
  std::optional<ContextBreakEven> found;
  for (std::size_t i = contexts.size(); i-- > 0;) {
    const double here = saved(contexts[i]);
    if (here > 0) {
      found = {static_cast<double>(contexts[i].n_context), false};
      continue;
    }
    if (found) {
      const double there = saved(contexts[i + 1]);
      const auto from = static_cast<double>(contexts[i].n_context);
      const auto to = static_cast<double>(contexts[i + 1].n_context);
      found = {from + (to - from) * -here / (there - here), true};
    }
    break;
  }
  return found;
}

}  // namespace kvpress
