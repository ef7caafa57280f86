// Break-even: the answer length from which a press saves time. A press costs time once, after the context; then each
// token of the answer takes less time. Both are measured.
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

/// Times of a prefill and an answer, for one or several repeats.
struct AnswerTimes {
  double cache_tokens = 0;           ///< when the answer begins, mean over layers and KV heads
  std::size_t cache_bytes = 0;       ///< allocated when the answer begins
  std::vector<double> prefill_sec;   ///< per repeat: the prefill, without the press
  std::vector<double> compress_sec;  ///< per repeat: the press
  /// [repeat][i]: seconds for token i of the answer. The first token needs no pass: the context predicts it.
  std::vector<std::vector<double>> token_sec;

  std::int64_t n_tokens() const;
  AnswerTimes repeat(std::size_t i) const;
};

/// Adds a repeat: prefills the context in one pass, compresses, and decodes n_tokens greedily, ignoring ends of text.
void time_answer(const Model& model, std::span<const std::int32_t> context, const CompressionSettings& settings,
                 std::int64_t n_tokens, AnswerTimes& times);

/// The growth of the time of a decoded token per token in the cache, in seconds: least squares over the median of each
/// measured token. Needs at least two answers over caches of different sizes.
double growth_per_cached_token(std::span<const AnswerTimes> answers);

/// Seconds of a context and its answer by the length of the answer. For measured lengths, it is the sum of the median
/// times of the tokens. Longer answers are extrapolated from the median of the tokens and the growth with the cache.
class AnswerCurve {
 public:
  AnswerCurve(const AnswerTimes& times, double prefill_sec, double growth_sec);

  double seconds(std::int64_t n_tokens) const;
  bool is_measured(std::int64_t n_tokens) const { return n_tokens <= n_measured(); }
  std::int64_t n_measured() const { return static_cast<std::int64_t>(sums_.size()) - 1; }
  double compress_sec() const { return compress_sec_; }
  /// The median time of a pass.
  double token_sec() const { return token_sec_; }
  const std::vector<double>& token_medians() const { return medians_; }

 private:
  std::vector<double> medians_;  // of each token
  std::vector<double> sums_;     // [n]: context and n tokens
  double compress_sec_ = 0;
  double token_sec_ = 0;
  double growth_sec_ = 0;
};

/// The longest answer that is considered, in tokens.
inline constexpr std::int64_t kLongestAnswer = 1'000'000;

/// The longest answer that is not faster with the press; all longer ones, up to kLongestAnswer, are faster. Empty if an
/// answer of kLongestAnswer is not faster.
std::optional<std::int64_t> break_even(const AnswerCurve& full, const AnswerCurve& pressed);

/// A press at a ratio, on one context.
struct PressedAnswer {
  std::string press;
  double compression_ratio = 0;         ///< asked for
  std::optional<double> evicted_share;  ///< measured; empty: as asked for
  double evicted() const { return evicted_share.value_or(compression_ratio); }
  AnswerTimes times;
  double perplexity = 0;
  Comparison quality;  ///< of the text after the context, compared with the full cache
};

/// All measurements for one context length.
struct BreakEvenContext {
  std::int64_t n_context = 0;
  std::int64_t n_scored = 0;  ///< tokens used to measure quality
  double full_perplexity = 0;
  AnswerTimes full;
  std::vector<PressedAnswer> runs;

  /// The median over all repeats with and without a press. The passes are the same, so a common median reduces noise.
  double prefill_sec() const;
  double growth_sec() const;
  /// The measurements of one repeat alone.
  BreakEvenContext repeat(std::size_t i) const;
  std::size_t n_repeats() const { return full.token_sec.size(); }
  AnswerCurve full_curve() const { return {full, prefill_sec(), growth_sec()}; }
  AnswerCurve curve(const PressedAnswer& run) const { return {run.times, prefill_sec(), growth_sec()}; }
  /// The minimum and maximum of break_even() over single repeats. The maximum is empty if a repeat has none.
  std::array<std::optional<std::int64_t>, 2> break_even_spread(const PressedAnswer& run) const;
  /// The run of the press that evicted most, of those for which the interval of delta NLL ends below the tolerance;
  /// null if there is none. A run that evicted nothing does not count.
  const PressedAnswer* largest_within(const std::string& press, double tolerance) const;
};

/// The context length from which an answer of n tokens is faster.
struct ContextBreakEven {
  double n_context = 0;
  bool interpolated = false;  ///< between two measured contexts, else the first measured one
};
/// `contexts` are sorted by length, and each has the run with index `run`. Empty if the longest context is not enough.
std::optional<ContextBreakEven> context_break_even(std::span<const BreakEvenContext> contexts, std::size_t run,
                                                   std::int64_t n_tokens);

}  // namespace kvpress
