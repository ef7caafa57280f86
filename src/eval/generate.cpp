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
  // Sorting a vocabulary costs more than a small model's pass: only what may be drawn is sorted, if anything.
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto n_ranked = static_cast<std::ptrdiff_t>(settings.top_k > 0   ? std::min(n, settings.top_k)
                                                    : settings.top_p < 1 ? n
                                                                         : std::int64_t{0});
  std::partial_sort(order.begin(), order.begin() + n_ranked, order.end(), [&](std::int32_t a, std::int32_t b) {
    const float p = logits[static_cast<std::size_t>(a)];
    const float q = logits[static_cast<std::size_t>(b)];
    return p != q ? p > q : a < b;
  });
  if (n_ranked > 0) order.resize(static_cast<std::size_t>(n_ranked));
  const auto probability = [&](std::int32_t token) {
    return static_cast<double>(logits[static_cast<std::size_t>(token)]) / sum;
  };
  double mass = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    mass += probability(order[i]);
    if (settings.top_p < 1 && mass >= settings.top_p) order.resize(i + 1);
  }
  double left = draw * mass;
  for (const std::int32_t token : order) {
    left -= probability(token);
    if (left < 0) return token;
  }
  return order.back();
}

Generated generate(const Model& model, std::span<const std::int32_t> prompt, const NamedPress& press,
                   const GenerateSettings& settings, const OnToken& on_token) {
  if (prompt.empty()) fail_usage("--prompt: is empty; at least one token is needed");
  const ModelConfig& config = model.config();
  const bool fixed = settings.target_size && settings.compression_interval == 0;
  Compressor compressor(press.plan(fixed ? Budget{0.0, settings.target_size} : settings.budget,
                                   settings.compression_interval, settings.target_size),
                        settings.seed);
  KVCache cache = compressor.make_cache(model, settings.cache_format, settings.positions == Positions::cache);
  AlignedVector<float> hidden(static_cast<std::size_t>(config.hidden_size));
  AlignedVector<float> logits(static_cast<std::size_t>(config.vocab_size));
  const Matrix<float> row(hidden.data(), 1, config.hidden_size);
  std::mt19937_64 random(settings.seed);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);

  Generated result;
  const Timer prefill;
  compressor.forward(model, prompt, cache, row);
  result.prefill_sec = prefill.seconds() - compressor.seconds();
  result.compress_sec = compressor.seconds();
  compressor.begin_decoding();

  const Timer decode;
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
    if (static_cast<std::int64_t>(result.ids.size()) == settings.max_new_tokens) break;
    compressor.forward(model, {&token, 1}, cache, row);
  }
  result.decode_sec = decode.seconds();
  result.cache_tokens = cache.mean_tokens();
  result.cache_bytes = cache.allocated_bytes();
  return result;
}

}  // namespace kvpress
