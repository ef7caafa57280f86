#include "kvpress/engine/generate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/timer.h"
#include "ops/cross_entropy.h"
#include "ops/rowwise.h"

namespace kvpress {

std::int32_t sample(std::span<float> logits, const GenerateSettings& settings, double draw) {
  const auto n = static_cast<std::int64_t>(logits.size());
  // A temperature whose inverse is no float: what it leaves beside the largest logit is far below what float32 holds.
  const double factor = settings.temperature > 0 ? 1 / settings.temperature : std::numeric_limits<double>::infinity();
  if (factor > std::numeric_limits<float>::max()) return static_cast<std::int32_t>(argmax(logits.data(), n));
  const float largest = max_value(logits.data(), n);
  for (float& it : logits) it = (it - largest) * static_cast<float>(factor);  // scaled first, it might be infinite
  const float sum = exp_shifted(logits.data(), n, 0);
  // Sorting a vocabulary costs more than a small model's pass: only what may be drawn is sorted, if anything.
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto n_ranked = static_cast<std::ptrdiff_t>(settings.top_k > 0   ? std::min(n, settings.top_k)
                                                    : settings.top_p < 1 ? n
                                                                         : std::int64_t{0});
  std::partial_sort(order.begin(), order.begin() + n_ranked, order.end(), [&](std::int32_t a, std::int32_t b) {
    const float p = logits[a];
    const float q = logits[b];
    return p != q ? p > q : a < b;
  });
  if (n_ranked > 0) order.resize(static_cast<std::size_t>(n_ranked));
  const auto probability = [&](std::int32_t token) { return static_cast<double>(logits[token]) / sum; };
  // top_p is a share of what top_k has left, as in transformers.
  double wanted = settings.top_p;
  if (settings.top_k > 0) {
    double left = 0;
    for (const std::int32_t token : order) left += probability(token);
    wanted *= left;
  }
  double mass = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    mass += probability(order[i]);
    if (settings.top_p < 1 && mass >= wanted) order.resize(i + 1);
  }
  if (settings.min_p > 0) {  // the likeliest has 1 in `logits` by now
    std::erase_if(order, [&](std::int32_t token) { return logits[token] < settings.min_p; });
    mass = 0;
    for (const std::int32_t token : order) mass += probability(token);
  }
  double left = draw * mass;
  for (const std::int32_t token : order) {
    left -= probability(token);
    if (left < 0) return token;
  }
  return order.back();
}

void check_settings(const GenerateSettings& settings) {
  if (settings.max_new_tokens < 1)
    fail_setting("max_new_tokens", "{} is too small; at least 1 is needed", settings.max_new_tokens);
  if (!(settings.temperature >= 0))
    fail_setting("temperature", "{} is negative; 0 means greedy decoding", settings.temperature);
  if (!(settings.top_p > 0 && settings.top_p <= 1)) fail_setting("top_p", "{} is not in (0, 1]", settings.top_p);
  if (settings.top_k < 0) fail_setting("top_k", "{} is negative; 0 means no limit", settings.top_k);
  if (!(settings.min_p >= 0 && settings.min_p <= 1)) fail_setting("min_p", "{} is not in [0, 1]", settings.min_p);
  for (const auto& [name, value] :
       {std::pair{"presence_penalty", settings.presence_penalty}, {"frequency_penalty", settings.frequency_penalty}}) {
    if (!(value >= -2 && value <= 2)) fail_setting(name, "{} is not in [-2, 2]", value);
  }
  for (const auto& [token, bias] : settings.logit_bias) {
    if (!std::isfinite(bias)) fail_setting("logit_bias", "{} of token {} is not a finite number", bias, token);
  }
}

Sampler::Sampler(GenerateSettings settings) : settings_(std::move(settings)), random_(settings_.seed) {}

std::int32_t Sampler::next(std::span<const float> logits) {
  logits_.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : settings_.logit_bias) {
    if (token >= 0 && token < std::ssize(logits_)) logits_[static_cast<std::size_t>(token)] += bias;
  }
  for (const auto& [token, n] : counts_) {
    logits_[static_cast<std::size_t>(token)] -=
        static_cast<float>(settings_.presence_penalty + settings_.frequency_penalty * static_cast<double>(n));
  }
  const std::int32_t token = sample(logits_, settings_, uniform_(random_));
  if (settings_.presence_penalty != 0 || settings_.frequency_penalty != 0) ++counts_[token];
  return token;
}

Generated generate(Sequence& sequence, const GenerateSettings& settings, const OnToken& on_token) {
  const std::vector<std::int32_t>& ends = sequence.model().config().eos_ids;
  Sampler sampler(settings);

  Generated result;
  const Timer timer;
  if (settings.begins_decoding && !sequence.decodes()) sequence.begin_decoding();
  while (true) {
    check_interrupt();
    const std::int32_t token = sampler.next(sequence.logits());
    const bool may_end = !settings.ignore_eos && (settings.eos_may_come_first || !result.ids.empty());
    if (may_end && std::find(ends.begin(), ends.end(), token) != ends.end()) {
      result.end = token;
      break;
    }
    result.ids.push_back(token);
    if (on_token) on_token(token);
    if (static_cast<std::int64_t>(result.ids.size()) == settings.max_new_tokens) break;
    sequence.append({&token, 1});
  }
  result.seconds = timer.seconds();
  return result;
}

}  // namespace kvpress
