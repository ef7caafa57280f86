// When does a compressed cache pay? A press costs time once, after the context; each token of the answer is then
// cheaper. Times of both are measured here, and from them follows the answer from which on the press is ahead.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kvpress/engine/compression_settings.h"
#include "kvpress/eval/compare.h"
#include "kvpress/model/model.h"

namespace kvpress {

/// A context and the answer after it, timed once or several times.
struct AnswerTimes {
  double cache_tokens = 0;           ///< held when the answer begins, mean over layers and KV heads
  std::size_t cache_bytes = 0;       ///< allocated then
  std::vector<double> prefill_sec;   ///< of each repeat: the passes over the context, without the press
  std::vector<double> compress_sec;  ///< of each repeat: the press
  /// [repeat][i]: until token i of the answer was known. The first takes no pass of its own: the context predicts it.
  std::vector<std::vector<double>> token_sec;

  std::int64_t n_tokens() const;
  AnswerTimes repeat(std::size_t i) const;
};

/// Adds a repeat: prefills the context in one pass, compresses, decodes n_tokens greedily past any end of text.
void time_answer(const Model& model, std::span<const std::int32_t> context, const CompressionSettings& settings,
                 std::int64_t n_tokens, AnswerTimes& times);

/// What a decoded token costs more for each token in the cache, in seconds: least squares over each measured token's
/// median. At least two answers over caches of different sizes are needed for it to mean something.
double growth_per_cached_token(std::span<const AnswerTimes> answers);

/// Seconds of a context and its answer by the answer's length. As far as tokens were decoded it is the sum of what was
/// measured, each token by its median over the repeats. Beyond, a token costs the median of those measured, and more by
/// the growth of the cache: computed, not measured.
class AnswerCurve {
 public:
  AnswerCurve(const AnswerTimes& times, double prefill_sec, double growth_sec);

  double seconds(std::int64_t n_tokens) const;
  bool is_measured(std::int64_t n_tokens) const { return n_tokens <= n_measured(); }
  std::int64_t n_measured() const { return static_cast<std::int64_t>(sums_.size()) - 1; }
  double compress_sec() const { return compress_sec_; }
  /// The median of the passes.
  double token_sec() const { return token_sec_; }
  const std::vector<double>& token_medians() const { return medians_; }

 private:
  std::vector<double> medians_;  // of each token
  std::vector<double> sums_;     // [n]: context and n tokens
  double compress_sec_ = 0;
  double token_sec_ = 0;
  double growth_sec_ = 0;
};

/// Beyond so many tokens nobody waits for the press to pay.
inline constexpr std::int64_t kLongestAnswer = 1'000'000;

/// The longest answer that does not come sooner under the press; every longer one does, up to kLongestAnswer. Without a
/// value there is none such: at the longest the full cache is still ahead.
std::optional<std::int64_t> break_even(const AnswerCurve& full, const AnswerCurve& pressed);

/// A press at a ratio, on one context.
struct PressedAnswer {
  std::string press;
  double compression_ratio = 0;
  AnswerTimes times;
  double perplexity = 0;
  Comparison quality;  ///< of the text after the context, with the full cache
};

/// Everything that was measured over contexts of one length.
struct BreakEvenContext {
  std::int64_t n_context = 0;
  std::int64_t n_scored = 0;  ///< tokens that quality was measured on
  double full_perplexity = 0;
  AnswerTimes full;
  std::vector<PressedAnswer> runs;

  /// The median over all repeats with and without a press: the passes are the same, and their noise must not hide what
  /// a press costs.
  double prefill_sec() const;
  double growth_sec() const;
  AnswerCurve full_curve() const { return {full, prefill_sec(), growth_sec()}; }
  AnswerCurve curve(const PressedAnswer& run) const { return {run.times, prefill_sec(), growth_sec()}; }
  /// break_even() of each repeat by itself: least and most; without a value in `most`: some repeat never gets there.
  std::array<std::optional<std::int64_t>, 2> break_even_spread(const PressedAnswer& run) const;
  /// The run of that press with the largest ratio whose delta NLL's interval ends below the tolerance; null: none.
  const PressedAnswer* largest_within(const std::string& press, double tolerance) const;
};

/// From which context on an answer of n tokens comes sooner.
struct ContextBreakEven {
  double n_context = 0;
  bool interpolated = false;  ///< between two measured contexts, else the first measured one
};
/// contexts: by length, all with run `run` (an index). Without a value: not with the longest one.
std::optional<ContextBreakEven> context_break_even(std::span<const BreakEvenContext> contexts, std::size_t run,
                                                   std::int64_t n_tokens);

}  // namespace kvpress
