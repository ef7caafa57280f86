// The attention of a layer, within a forward pass.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "kvpress/base/threads.h"
#include "kvpress/model/not_finite.h"
#include "kvpress/ops/attention/attention.h"
#include "model/attention_args.h"
#include "model/forward_pass.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

/// What a number of a cache must stay below: float16 rounds all from 65520 on to infinity, and the scales of a
/// quantized cache are float16 too.
float cache_limit(const CacheFormat& format) {
  return format.type == DType::f16 || format.bits > 0 ? 65520.0f : std::numeric_limits<float>::infinity();
}

/// False for NaN as well.
bool all_below(const float* x, std::int64_t n, float limit) {
  bool below = true;
  for (std::int64_t i = 0; i < n; ++i) below &= std::abs(x[i]) < limit;
  return below;
}

}  // namespace

void ForwardPass::begin_layer(std::int64_t layer, Sequence& sequence) const {
  const Step& step = *sequence.step;
  // Heads of a renumbered cache that differ in length go on from different positions.
  sequence.next.clear();
  for (std::int64_t h = 0; h < config_.n_kv_heads; ++h) {
    sequence.next.push_back(step.cache.next_position(layer, h, step.first_position));
  }
  step.cache.extend(layer, sequence.n_new, step.first_position);
  sequence.column_sums = {};
  if (step.listener == nullptr) return;
  sequence.column_sums = step.listener->column_sums(layer, step.cache);
  if (step.listener->wants_attention_output()) {
    sequence.attention_output.resize(static_cast<std::size_t>(sequence.n_new * config_.hidden_size));
  }
}

Activations ForwardPass::attend(std::int64_t l, const Part& part) {
  const LayerWeights& layer = weights_.layers[l];
  const std::int64_t query_cols = config_.n_heads * config_.head_dim;
  const Projections made = {buffers_.normed.get(numerics_.compute, part.n_rows, config_.hidden_size),
                            buffers_.qkv.get(DType::f32, part.n_rows, layer.qkv.out_features()),
                            buffers_.queries.get(DType::f32, part.n_rows, query_cols)};
  read(config_.layer(l), layer.attention_norm, residual_.block(part.first_row, part.n_rows).as_float(), made.normed);
  layer.qkv(made.normed, made.qkv);
  store_keys_and_rotate(l, part, made);
  const Activations attended = buffers_.attended.get(numerics_.compute, part.n_rows, query_cols);
  for (std::size_t i = 0; i < part.pieces.size();) {
    std::size_t end = i + 1;
    while (end < part.pieces.size() && attends_with(part.pieces[i], part.pieces[end])) ++end;
    attend_together(l, std::span(part.pieces).subspan(i, end - i), made, attended);
    i = end;
  }
  return attended;
}

/// Each head of a row by itself, or all of them together.
void ForwardPass::norm_queries_and_keys(const LayerSpec& spec, const LayerWeights& layer, float* qkv) const {
  const std::int64_t d = config_.head_dim;
  const auto norm_heads = [&](const std::optional<NormKind>& kind, const NormWeights& weights, float* heads,
                              std::int64_t n) {
    const std::int64_t rows = spec.norms_heads_together ? 1 : n;
    const std::int64_t cols = n * d / rows;
    if (kind) norm(weights, *kind, spec.norm_eps, {heads, rows, cols}, {heads, DType::f32, rows, cols});
  };
  norm_heads(spec.query_norm, layer.query_norm, qkv, config_.n_heads);
  norm_heads(spec.key_norm, layer.key_norm, qkv + config_.n_heads * d, config_.n_kv_heads);
}

/// RoPE's attention factor is one of cos and sin. A factor of channels that turn together commutes with turning, so
/// they get it here, once, and whoever turns them later (caches that renumber, presses) need not know of it.
void ForwardPass::scale_queries_and_keys(const RopeSpec& rope, float* qkv) const {
  if (rope.attention_factor == 1.0f) return;
  for (std::int64_t h = 0; h < config_.n_heads + config_.n_kv_heads; ++h) {
    scale(qkv + h * config_.head_dim, rope.rotary_dim(), rope.attention_factor);
  }
}

void ForwardPass::grow_queries(const QueryGrowth& growth, const Sequence& sequence, std::int64_t token,
                               float* qkv) const {
  if (growth.beta == 0) return;
  for (std::int64_t h = 0; h < config_.n_heads; ++h) {
    const std::int64_t position = sequence.next[h / config_.group_size()] + token;
    scale(qkv + h * config_.head_dim, config_.head_dim, growth.factor(position));
  }
}

/// Splits the projections: queries and keys are turned to their positions, keys and values go to the caches.
void ForwardPass::store_keys_and_rotate(std::int64_t layer, const Part& part, const Projections& made) const {
  const std::int64_t d = config_.head_dim;
  const std::int64_t group = config_.group_size();
  const Rope& rope = buffers_.ropes.of(layer);
  const LayerSpec& spec = config_.layer(layer);
  std::vector<const Piece*> piece_of;
  for (const Piece& it : part.pieces) piece_of.insert(piece_of.end(), static_cast<std::size_t>(it.n), &it);
  std::atomic<std::int64_t> first_bad = part.n_rows;
#pragma omp parallel for schedule(static) if (part.n_rows > 1)
  for (std::int64_t row = 0; row < part.n_rows; ++row) {
    thread_local AlignedVector<float> key;
    key.resize(static_cast<std::size_t>(d));
    const Piece& piece = *piece_of[row];
    const Sequence& sequence = *piece.sequence;
    KVCache& cache = sequence.step->cache;
    const std::int64_t token = piece.first + row - piece.row;
    float* const qkv = made.qkv.as_float().row(row);
    norm_queries_and_keys(spec, weights_.layers[layer], qkv);
    scale_queries_and_keys(spec.rope, qkv);
    grow_queries(spec.query_growth, sequence, token, qkv);
    const float limit = cache_limit(cache.shape().format);
    bool fits = all_finite(qkv, made.qkv.cols) &&
                all_below(qkv + (config_.n_heads + config_.n_kv_heads) * d, config_.n_kv_heads * d, limit);
    float* const query = made.queries.as_float().row(row);
    std::copy_n(qkv, made.queries.cols, query);
    for (std::int64_t h = 0; h < config_.n_heads; ++h) {
      rope.apply(query + h * d, sequence.next[h / group] + token);
    }
    for (std::int64_t h = 0; h < config_.n_kv_heads; ++h) {
      std::copy_n(qkv + (config_.n_heads + h) * d, d, key.data());
      rope.apply(key.data(), sequence.next[h] + token);
      fits &= all_below(key.data(), d, limit);
      const std::int64_t at = cache.head(layer, h).size() - sequence.n_new + token;
      cache.write_row(layer, h, at, key.data(), qkv + (config_.n_heads + config_.n_kv_heads + h) * d);
    }
    std::int64_t first = first_bad.load(std::memory_order_relaxed);
    while (!fits && row < first && !first_bad.compare_exchange_weak(first, row)) {
    }
  }
  if (first_bad < part.n_rows) fail_row(layer, part, first_bad, made.qkv.as_float().row(first_bad));
}

void ForwardPass::fail_row(std::int64_t layer, const Part& part, std::int64_t row, const float* qkv) const {
  const auto piece = std::find_if(part.pieces.begin(), part.pieces.end(),
                                  [&](const Piece& it) { return row >= it.row && row < it.row + it.n; });
  const Step& step = *piece->sequence->step;
  const std::int64_t at = piece->first + row - piece->row;
  const std::int32_t token = step.tokens[static_cast<std::size_t>(at)];
  if (!all_finite(qkv, (config_.n_heads + 2 * config_.n_kv_heads) * config_.head_dim)) {
    throw NotFinite(step.first_position + at, token,
                    fmt::format("queries, keys or values of layer {} are not finite", layer),
                    remedy_for(numerics_.storage));
  }
  throw NotFinite(step.first_position + at, token,
                  fmt::format("a key or value of layer {} is beyond 65504, which a cache in {} does not hold", layer,
                              to_string(step.cache.shape().format)),
                  fmt::format("use {} float32 or bfloat16", setting("cache_dtype")));
}

/// Single tokens over caches of one type are one attention of as many times more heads. Column sums take a pass of
/// their own.
bool ForwardPass::attends_with(const Piece& piece, const Piece& other) {
  const auto fits = [](const Piece& it) { return it.sequence->n_new == 1 && it.sequence->column_sums.empty(); };
  const auto type = [](const Piece& it) { return it.sequence->step->cache.shape().format.type; };
  return fits(piece) && fits(other) && type(piece) == type(other);
}

/// A query at place p sees entries of places above p - window. Entries stand in the order of their places.
ForwardPass::FirstSeen ForwardPass::first_seen(std::int64_t layer, std::span<const Piece> pieces) const {
  FirstSeen result;
  const std::int64_t window = config_.layer(layer).window;
  if (window == 0) return result;
  bool hides = false;
  for (const Piece& it : pieces) {
    const std::int64_t place = it.sequence->step->first_position + it.first;
    for (std::int64_t h = 0; h < config_.n_kv_heads; ++h) {
      const auto positions = it.sequence->step->cache.head(layer, h).positions();
      auto& row = result.rows.emplace_back();
      auto first = positions.begin();
      for (std::int64_t i = 0; i < it.n; ++i) {
        first = std::upper_bound(first, positions.end(), place + i - window);
        row.push_back(static_cast<std::int32_t>(first - positions.begin()));
      }
      hides |= row.back() > 0;
    }
  }
  if (!hides) return {};
  for (const auto& row : result.rows) result.pointers.push_back(row.data());
  return result;
}

void ForwardPass::attend_together(std::int64_t layer, std::span<const Piece> pieces, const Projections& made,
                                  const Activations& attended) const {
  const Piece& first = pieces.front();
  const auto n_pieces = static_cast<std::int64_t>(pieces.size());
  std::vector<HeadKV> kv;
  const LayerSpec& spec = config_.layer(layer);
  bool wants_log_sum_exp = spec.attention_sinks;
  for (const Piece& it : pieces) {
    const Step& step = *it.sequence->step;
    for (std::int64_t h = 0; h < config_.n_kv_heads; ++h) {
      kv.push_back(step.cache.head(layer, h).view());
      kv.back().n -= it.sequence->n_new - it.first - it.n;  // without the places of what follows
    }
    wants_log_sum_exp |= step.listener != nullptr && step.listener->wants_log_sum_exp();
  }
  std::vector<float> log_sum_exp;
  if (wants_log_sum_exp) log_sum_exp.resize(static_cast<std::size_t>(n_pieces * config_.n_heads * first.n));
  AttentionArgs args = attention_args(config_, layer, made.queries.as_float().row(first.row), first.n, kv,
                                      first.sequence->step->cache.shape().format.type,
                                      wants_log_sum_exp ? log_sum_exp.data() : nullptr, first.sequence->column_sums);
  const FirstSeen bounds = first_seen(layer, pieces);
  args.first_seen = bounds.pointers;
  args.n_heads *= n_pieces;  // rows of one token each, one after the other, are a row of as many times more heads
  const Activations out = attended.block(first.row, n_pieces * first.n);
  if (spec.attention_sinks) {
    attend_with_sinks(args, weights_.layers[layer].sinks, out);
  } else {
    attention(args, out);
  }
  const float* of_piece = args.log_sum_exp;
  for (const Piece& it : pieces) {
    const AttentionListener* const listener = it.sequence->step->listener;
    if (listener != nullptr) tell_listener(layer, it, made, listener->wants_log_sum_exp() ? of_piece : nullptr);
    if (of_piece != nullptr) of_piece += config_.n_heads;
  }
}

void ForwardPass::attend_with_sinks(AttentionArgs args, const AlignedVector<float>& sinks, const Activations& out) {
  const std::span<float* const> column_sums = std::exchange(args.column_sums, {});
  attention(args, out);
  const std::int64_t d = args.head_dim;
  parallel_for(args.n_heads, [&](std::int64_t h) {
    thread_local AlignedVector<float> row;
    row.resize(static_cast<std::size_t>(d));
    const auto sink = static_cast<double>(sinks[static_cast<std::size_t>(h) % sinks.size()]);
    for (std::int64_t t = 0; t < args.n_new; ++t) {
      float& log_sum = args.log_sum_exp[h * args.n_new + t];
      const double before = log_sum;
      const double after = std::max(before, sink) + std::log1p(std::exp(-std::abs(before - sink)));
      log_sum = static_cast<float>(after);
      const auto at = static_cast<std::size_t>((t * args.n_heads + h) * d) * size_of(out.type);
      std::byte* const place = static_cast<std::byte*>(out.data) + at;
      to_float(place, out.type, row.data(), d);
      scale(row.data(), d, static_cast<float>(std::exp(before - after)));
      from_float(row.data(), place, out.type, d);
    }
  });
  if (!column_sums.empty()) attention_column_sums(args, column_sums);
}

void ForwardPass::tell_listener(std::int64_t layer, const Piece& piece, const Projections& made,
                                const float* log_sum_exp) const {
  const Step& step = *piece.sequence->step;
  step.listener->after_attention({layer, step.first_position + piece.first, piece.n, config_, weights_.layers[layer],
                                  buffers_.ropes.of(layer), made.normed.block(piece.row, piece.n),
                                  made.queries.as_float().block(piece.row, piece.n),
                                  made.qkv.as_float().columns(0, made.queries.cols).block(piece.row, piece.n),
                                  log_sum_exp, step.cache, piece.ends_block()});
}

}  // namespace kvpress
