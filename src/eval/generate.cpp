#include "kvpress/eval/generate.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "kvpress/base/error.h"
#include "kvpress/base/timer.h"
#include "kvpress/ops/cross_entropy.h"
#include "kvpress/ops/rowwise.h"
#include "kvpress/press/compressor.h"

namespace kvpress {

std::int32_t sample(std::span<float> logits, const GenerateSettings& settings, double draw) {
  const auto n = static_cast<std::int64_t>(logits.size());
  if (settings.temperature <= 0) return static_cast<std::int32_t>(argmax(logits.data(), n));
  scale(logits.data(), n, static_cast<float>(1 / settings.temperature));
  const float sum = exp_shifted(logits.data(), n, max_value(logits.data(), n));
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const float p = logits[static_cast<std::size_t>(a)];
    const float q = logits[static_cast<std::size_t>(b)];
    return p != q ? p > q : a < b;
  });
  std::size_t n_taken =
      settings.top_k > 0 ? std::min(order.size(), static_cast<std::size_t>(settings.top_k)) : order.size();
  double mass = 0;
  for (std::size_t i = 0; i < n_taken; ++i) {
    mass += static_cast<double>(logits[static_cast<std::size_t>(order[i])]) / sum;
    if (mass >= settings.top_p) n_taken = i + 1;
  }
  double left = draw * mass;
  for (std::size_t i = 0; i < n_taken; ++i) {
    left -= static_cast<double>(logits[static_cast<std::size_t>(order[i])]) / sum;
    if (left < 0) return order[i];
  }
  return order[n_taken - 1];
}

Generated generate(Model& model, std::span<const std::int32_t> prompt, const NamedPress& press,
                   const GenerateSettings& settings, const OnToken& on_token) {
  if (prompt.empty()) fail_usage("--prompt: is empty; at least one token is needed");
  const ModelConfig& config = model.config();
  const bool repeats = settings.compression_interval > 0 && settings.target_size;
  const bool idle = settings.budget.keeps_all() && !repeats;
  Compressor compressor(idle ? nullptr : press.press.get(), settings.budget, settings.seed);
  KVCache cache = model.make_cache(settings.cache_type, compressor.needs_accumulated_attention());
  AlignedVector<float> hidden(static_cast<std::size_t>(config.hidden_size));
  AlignedVector<float> logits(static_cast<std::size_t>(config.vocab_size));
  const Matrix<float> row(hidden.data(), 1, config.hidden_size);
  std::mt19937_64 random(settings.seed);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);

  Generated result;
  const Timer prefill;
  model.forward(prompt, 0, cache, &compressor, row);
  result.prefill_sec = prefill.seconds() - compressor.seconds();
  result.compress_sec = compressor.seconds();
  if (repeats) compressor.set_budget({0.0, settings.target_size});

  const Timer decode;
  auto position = static_cast<std::int64_t>(prompt.size());
  while (true) {
    model.logits(row, {logits.data(), 1, config.vocab_size});
    const std::int32_t token = sample(logits, settings, uniform(random));
    if (!settings.ignore_eos &&
        std::find(config.eos_ids.begin(), config.eos_ids.end(), token) != config.eos_ids.end()) {
      result.ended = true;
      break;
    }
    result.ids.push_back(token);
    if (on_token) on_token(token);
    const auto n_done = static_cast<std::int64_t>(result.ids.size());
    if (n_done == settings.max_new_tokens) break;
    compressor.set_active(repeats && n_done % settings.compression_interval == 0);
    model.forward({&token, 1}, position++, cache, &compressor, row);
  }
  result.decode_sec = decode.seconds();
  result.cache_tokens = cache.mean_tokens();
  result.cache_bytes = cache.allocated_bytes();
  return result;
}

}  // namespace kvpress
