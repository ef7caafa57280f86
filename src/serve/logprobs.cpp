#include "serve/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "kvpress/model/not_finite.h"
#include "ops/rowwise.h"

namespace kvpress::serve {

ScoredToken score_token(std::span<const float> logits, std::int32_t token, int n_top) {
  const auto n = static_cast<std::int64_t>(logits.size());
  const float largest = max_value(logits.data(), n);
  AlignedVector<float> weights(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) weights[i] = logits[i] - largest;
  const double log_sum = std::log(static_cast<double>(exp_shifted(weights.data(), n, 0)));
  const auto logprob = [&](std::int32_t it) {
    return static_cast<float>(static_cast<double>(logits[static_cast<std::size_t>(it)]) - largest - log_sum);
  };
  ScoredToken scored{{token, logprob(token)}, {}};
  const auto n_kept = std::min<std::ptrdiff_t>(n_top, static_cast<std::ptrdiff_t>(n));
  if (n_kept == 0) return scored;
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + n_kept, order.end(), [&](std::int32_t a, std::int32_t b) {
    const float p = logits[static_cast<std::size_t>(a)];
    const float q = logits[static_cast<std::size_t>(b)];
    return p != q ? p > q : a < b;
  });
  for (std::ptrdiff_t i = 0; i < n_kept; ++i) scored.top.push_back({order[i], logprob(order[i])});
  return scored;
}

std::vector<ScoredToken> score_tokens(const Model& model, Matrix<const float> hidden,
                                      std::span<const std::int32_t> tokens, int n_top) {
  const std::int64_t vocab = model.config().vocab_size;
  std::vector<ScoredToken> scored(tokens.size());
  const std::int64_t n_held = std::min(kScoredRows, hidden.rows);
  AlignedVector<float> logits(static_cast<std::size_t>(n_held * vocab));
  for (std::int64_t first = 0; first < hidden.rows; first += n_held) {
    const std::int64_t n = std::min(n_held, hidden.rows - first);
    model.logits(hidden.block(first, n), {logits.data(), n, vocab});
    for (std::int64_t i = 0; i < n; ++i) {
      if (all_finite(logits.data() + i * vocab, vocab)) continue;
      throw NotFinite(first + i, tokens[static_cast<std::size_t>(first + i)], "the logits before it are not finite",
                      remedy_for(model.dtype()));
    }
    parallel_for(n, [&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(first + i);
      scored[at] = score_token({logits.data() + i * vocab, static_cast<std::size_t>(vocab)}, tokens[at], n_top);
    });
  }
  return scored;
}

}  // namespace kvpress::serve
