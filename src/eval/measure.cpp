#include "eval/measure.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "base/median.h"
#include "kvpress/base/timer.h"
#include "kvpress/engine/sequence.h"
#include "kvpress/model/not_finite.h"
#include "kvpress/ops/attention/attention.h"
#include "model/attention_args.h"
#include "ops/cross_entropy.h"
#include "ops/output_loss.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

/// Tokens of a prefill that fills the cache before decoding: deep caches must not need deep activations.
constexpr std::int64_t kFillBlock = 2048;

std::vector<std::int32_t> random_tokens(const Model& model, std::int64_t n) {
  std::mt19937 random(1);
  std::uniform_int_distribution<std::int32_t> uniform(0, static_cast<std::int32_t>(model.config().vocab_size) - 1);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(n));
  for (std::int32_t& token : tokens) token = uniform(random);
  return tokens;
}

/// How many tokens each head holds: n_kept, or spread around it.
std::vector<std::int64_t> head_lengths(std::size_t n_heads, std::int64_t n_kept, bool ragged) {
  std::vector<std::int64_t> lengths(n_heads, n_kept);
  if (!ragged) return lengths;
  std::mt19937 random(1);
  std::uniform_real_distribution<double> share(0.0, 0.8);
  // What one head has more, the next has less.
  for (std::size_t h = 0; h + 1 < n_heads; h += 2) {
    const auto moved = static_cast<std::int64_t>(share(random) * static_cast<double>(n_kept));
    lengths[h] += moved;
    lengths[h + 1] -= moved;
  }
  return lengths;
}

}  // namespace

PrefillSpeed measure_prefill(const Model& model, std::int64_t n_tokens, const CompressionSettings& settings,
                             bool with_loss, int repeats) {
  const std::vector<std::int32_t> tokens = random_tokens(model, n_tokens);
  const std::int64_t rows = with_loss ? n_tokens : 1;
  AlignedVector<float> hidden(static_cast<std::size_t>(rows * model.config().hidden_size));
  std::vector<float> nll(static_cast<std::size_t>(n_tokens));
  const Matrix<float> states(hidden.data(), rows, model.config().hidden_size);
  std::vector<double> prefill, compress, loss;
  for (int repeat = -1; repeat < repeats; ++repeat) {
    Sequence sequence(model, settings);
    sequence.append(tokens, states);
    const Timer loss_timer;
    if (with_loss) {
      output_cross_entropy(states.block(0, n_tokens - 1), model.output(), std::span(tokens).subspan(1), nll);
      for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
        if (std::isfinite(nll[i])) continue;
        throw NotFinite(static_cast<std::int64_t>(i), tokens[i], "the logits that follow it are not finite",
                        remedy_for(model.dtype()));
      }
    }
    if (repeat < 0) continue;
    prefill.push_back(sequence.times().prefill);
    compress.push_back(sequence.times().compress);
    loss.push_back(loss_timer.seconds());
  }
  return {n_tokens, median(prefill), median(compress), with_loss ? median(loss) : 0.0};
}

DecodeSpeed measure_decode(const Model& model, std::int64_t depth, const CompressionSettings& settings,
                           std::int64_t n_tokens, int batch) {
  const std::vector<std::int32_t> tokens = random_tokens(model, std::max<std::int64_t>(depth, 1));
  Sequence first(model, settings);
  for (std::int64_t at = 0; at < depth; at += kFillBlock) {
    const std::int64_t n = std::min(kFillBlock, depth - at);
    first.set_compressing(at + n == depth);
    first.append(std::span(tokens).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(n)));
  }
  first.begin_decoding();
  DecodeSpeed speed;
  speed.depth = depth;
  speed.batch = batch;
  speed.cache_tokens = first.cache_tokens();
  speed.cache_bytes = first.cache_bytes();
  if (depth > 0) warn_if_nothing_is_quantized(first);

  std::vector<Sequence> sequences;
  for (int i = 1; i < batch; ++i) sequences.push_back(first.fork());
  sequences.push_back(std::move(first));
  const auto n = static_cast<std::int64_t>(sequences.size());
  const std::int64_t cols = model.config().hidden_size;
  const std::int64_t vocab = model.config().vocab_size;
  AlignedVector<float> hidden(static_cast<std::size_t>(n * cols));
  AlignedVector<float> logits(static_cast<std::size_t>(n * vocab));
  const Matrix<float> states(hidden.data(), n, cols);
  std::vector<std::int32_t> newest(tokens.begin(), tokens.begin() + std::min<std::int64_t>(n, std::ssize(tokens)));
  newest.resize(static_cast<std::size_t>(n), tokens.front());
  SequenceBatch together;
  std::vector<double> seconds;
  for (std::int64_t i = -2; i < n_tokens; ++i) {  // the first two compile products and are not counted
    const Timer timer;
    std::vector<SequenceBatch::Item> items;
    for (std::int64_t s = 0; s < n; ++s) {
      const auto at = static_cast<std::size_t>(s);
      items.push_back({sequences[at], {&newest[at], 1}, states.block(s, 1)});
    }
    together.append(items);
    model.logits(states, {logits.data(), n, vocab});
    for (std::int64_t s = 0; s < n; ++s) {
      if (!all_finite(logits.data() + s * vocab, vocab)) {
        throw NotFinite(sequences[static_cast<std::size_t>(s)].n_tokens() - 1, newest[static_cast<std::size_t>(s)],
                        "the logits that follow it are not finite", remedy_for(model.dtype()));
      }
      newest[s] = static_cast<std::int32_t>(argmax(logits.data() + s * vocab, vocab));
    }
    if (i >= 0) seconds.push_back(timer.seconds());
  }
  speed.seconds_per_pass = median(seconds);
  return speed;
}

AttentionSpeed measure_attention(const Model& model, std::int64_t depth, double ratio, bool ragged,
                                 const CacheFormat& cache_format, int repeats) {
  const ModelConfig& config = model.config();
  KVCache cache = model.make_cache(cache_format);
  const std::int64_t n_kept = Budget{ratio, {}}.n_kept(depth);
  const auto lengths = head_lengths(static_cast<std::size_t>(config.n_layers * config.n_kv_heads), n_kept, ragged);
  const std::int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  AlignedVector<float> row(static_cast<std::size_t>(2 * config.head_dim));
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<std::int32_t> kept(static_cast<std::size_t>(longest));
  for (std::size_t i = 0; i < kept.size(); ++i) kept[i] = static_cast<std::int32_t>(i);
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    cache.extend(l, longest, 0);
    for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
      for (std::int64_t i = 0; i < longest; ++i) {
        row[static_cast<std::size_t>(i) % row.size()] = uniform(random);
        cache.write_row(l, h, i, row.data(), row.data() + config.head_dim);
      }
      const auto n = static_cast<std::size_t>(lengths[l * config.n_kv_heads + h]);
      cache.keep(l, h, std::span(kept).first(n));
    }
    cache.settle(l);
  }
  const std::int64_t width = config.n_heads * config.head_dim;
  AlignedVector<float> queries(static_cast<std::size_t>(width));
  for (float& it : queries) it = uniform(random);
  ActivationBuffer buffer;
  const Activations out = buffer.get(model.compute_type(), 1, width);
  std::vector<double> seconds;
  for (int repeat = -1; repeat < repeats; ++repeat) {
    const Timer timer;
    for (std::int64_t l = 0; l < config.n_layers; ++l) {
      std::vector<HeadKV> kv;
      for (std::int64_t h = 0; h < config.n_kv_heads; ++h) kv.push_back(cache.head(l, h).view());
      attention(attention_args(config, l, queries.data(), 1, kv, cache_format.type), out);
    }
    if (repeat >= 0) seconds.push_back(timer.seconds());
  }
  return {cache.mean_tokens(), median(seconds)};
}

}  // namespace kvpress
