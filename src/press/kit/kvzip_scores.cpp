#include "press/kit/kvzip_scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kvpress/base/threads.h"
#include "kvpress/model/weights.h"
#include "kvpress/ops/product/linear.h"
#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/press_state.h"
#include "kvpress/tokenizer/tokenizer.h"
#include "ops/rowwise.h"
#include "press/kit/global_selection.h"
#include "press/kit/replay.h"
#include "press/kit/sinks.h"

namespace kvpress {
namespace {

/// Tokens of the chunk before that tell where a later chunk starts.
constexpr std::int64_t kReminder = 8;

/// 1 / ||hidden|| of each token of the block.
std::vector<float> inverse_norms(const Activations& hidden) {
  std::vector<float> factors(static_cast<std::size_t>(hidden.rows));
  parallel_for(hidden.rows, [&](std::int64_t t) {
    thread_local AlignedVector<float> row;
    row.resize(static_cast<std::size_t>(hidden.cols));
    to_float(hidden.block(t, 1).data, hidden.type, row.data(), hidden.cols);
    factors[t] = 1.0f / std::sqrt(dot(row, row));
  });
  return factors;
}

/// W_o' W_o of each query head, [n_heads][head_dim, head_dim]: ||W_o v||^2 = v' (W_o' W_o) v needs no row of
/// hidden_size.
std::vector<AlignedVector<float>> output_grams(const AttentionBlock& block) {
  constexpr std::int64_t kRows = 256;
  const ModelConfig& config = block.config;
  const std::int64_t d = config.head_dim;
  const std::int64_t cols = config.n_heads * d;
  std::vector<AlignedVector<float>> grams(static_cast<std::size_t>(config.n_heads));
  for (auto& gram : grams) gram.assign(static_cast<std::size_t>(d * d), 0.0f);
  AlignedVector<float> rows(static_cast<std::size_t>(kRows * cols));
  for (std::int64_t first = 0; first < config.hidden_size; first += kRows) {
    const std::int64_t n = std::min(kRows, config.hidden_size - first);
    block.weights.attention_out_rows(first, n, rows.data());
    parallel_for(config.n_heads, [&](std::int64_t h) {
      gemm(true, false, d, d, n, 1.0f, rows.data() + h * d, cols, rows.data() + h * d, cols, 1.0f, grams[h].data(), d);
    });
  }
  return grams;
}

/// scores[h][j] *= ||W_o v|| of query head h and entry begin[h's KV head] + j.
void weigh_by_output_norm(const AttentionBlock& block, std::span<const std::int64_t> begin,
                          std::vector<AlignedVector<float>>& scores) {
  constexpr std::int64_t kStretch = 512;
  const std::int64_t d = block.config.head_dim;
  const std::int64_t group = block.config.group_size();
  std::size_t n = 0;
  for (const auto& row : scores) n = std::max(n, row.size());
  const std::vector<AlignedVector<float>> grams = output_grams(block);
  const std::int64_t n_stretches = (static_cast<std::int64_t>(n) + kStretch - 1) / kStretch;
  parallel_for(block.config.n_kv_heads * n_stretches, [&](std::int64_t item) {
    thread_local AlignedVector<float> values, turned;
    const std::int64_t kv_head = item / n_stretches;
    const std::int64_t first = item % n_stretches * kStretch;
    const auto of_kv_head = static_cast<std::int64_t>(scores[kv_head * group].size());
    const std::int64_t rows = std::min(kStretch, of_kv_head - first);
    if (rows <= 0) return;
    values.resize(static_cast<std::size_t>(rows * d));
    turned.resize(values.size());
    block.cache.head(block.layer, kv_head).values_as_float(begin[kv_head] + first, rows, values.data());
    for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      gemm(false, false, rows, d, d, 1.0f, values.data(), d, grams[h].data(), d, 0.0f, turned.data(), d);
      float* of_head = scores[h].data() + first;
      for (std::int64_t j = 0; j < rows; ++j) {
        const auto size = static_cast<std::size_t>(d);
        const float square = dot({values.data() + j * d, size}, {turned.data() + j * d, size});
        of_head[j] *= std::sqrt(std::max(0.0f, square));
      }
    }
  });
}

}  // namespace

/// Tokens [first, end) of the text, repeated.
struct KVzipScores::Chunk {
  std::int64_t first;
  std::int64_t end;
  std::int64_t first_carried;
};

void KVzipScores::prepare(const PressSetup& setup) {
  if (setup.tokenizer == nullptr) return;
  first_request_ = setup.tokenizer->encode("\n\nRepeat the previous context exactly.");
  later_request_ = setup.tokenizer->encode("\n\nRepeat the part of the previous context exactly, starting with");
  suffix_ = setup.tokenizer->encode("\n");
}

void KVzipScores::visit_state(StateVisitor& visitor) { visitor.integer(n_scored_, 0, visitor.n_tokens()); }

void KVzipScores::update(const ContextView& context) {
  const auto n_seen = static_cast<std::int64_t>(context.tokens.size());
  for (std::int64_t first = n_scored_; first < n_seen; first += chunk_size) {
    const Chunk chunk{first, std::min(first + chunk_size, n_seen), context.first_carried};
    std::vector<std::int32_t> tokens = first == 0 ? first_request_ : later_request_;
    const auto at = context.tokens.begin() + first;
    if (first > 0) tokens.insert(tokens.end(), at - std::min(kReminder, first), at);
    tokens.insert(tokens.end(), suffix_.begin(), suffix_.end());
    tokens.insert(tokens.end(), at, context.tokens.begin() + chunk.end);
    replay(context, tokens, false, [&](const AttentionBlock& block) { score(context, block, chunk); });
  }
  n_scored_ = n_seen;
}

void KVzipScores::score(const ContextView& context, const AttentionBlock& block, const Chunk& chunk) const {
  const ModelConfig& config = block.config;
  // Each query's softmax runs over the sinks, the chunk, and the repetition up to itself: one head of the three.
  std::vector<KVHead> parts;
  std::vector<const KVHead*> pointers;
  std::vector<std::int64_t> begins;   // of the chunk in each head of the cache
  std::vector<std::int64_t> n_sinks;  // before the chunk in each part
  std::vector<std::int64_t> n_chunks;
  for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
    const KVHead& head = block.cache.head(block.layer, h);
    const std::int64_t sinks = first_entry_from(head, std::min(n_sink, chunk.first));
    const std::int64_t begin = first_entry_from(head, chunk.first);
    const std::int64_t n_chunk = first_entry_from(head, chunk.end) - begin;  // less where another press evicted
    std::vector<std::int32_t> indices(static_cast<std::size_t>(sinks + n_chunk + block.n_new));
    std::iota(indices.begin(), indices.begin() + sinks, 0);
    std::iota(indices.begin() + sinks, indices.begin() + sinks + n_chunk, static_cast<std::int32_t>(begin));
    std::iota(indices.begin() + sinks + n_chunk, indices.end(), static_cast<std::int32_t>(head.size() - block.n_new));
    parts.emplace_back(block.cache.shape()).append(head, indices);
    begins.push_back(begin);
    n_sinks.push_back(sinks);
    n_chunks.push_back(n_chunk);
  }
  for (const KVHead& part : parts) pointers.push_back(&part);

  std::vector<HeadKV> kv;
  std::vector<float> log_sum_exp(static_cast<std::size_t>(config.n_heads * block.n_new));
  const AttentionArgs args = attention_over(block, pointers, normalized, log_sum_exp.data(), kv);
  attention_log_sum_exp(args);
  add_sinks(block.weights.sinks, log_sum_exp);
  const std::vector<float> factors = normalized ? inverse_norms(block.hidden) : std::vector<float>();
  std::vector<AlignedVector<float>> maxima(kv.size());
  std::vector<std::span<float>> rows;
  const auto of_group = static_cast<std::size_t>(normalized ? config.group_size() : 1);
  for (std::size_t i = 0; i < kv.size(); ++i) {
    maxima[i].resize(static_cast<std::size_t>(n_sinks[i / of_group] + n_chunks[i / of_group]));
    rows.emplace_back(maxima[i]);
  }
  attention_column_maxima(args, normalized ? factors.data() : nullptr, rows);
  for (std::size_t i = 0; i < kv.size(); ++i) {
    maxima[i].erase(maxima[i].begin(), maxima[i].begin() + n_sinks[i / of_group]);
  }
  if (normalized) weigh_by_output_norm(block, begins, maxima);

  for (std::size_t h = 0; h < parts.size(); ++h) {
    float* to = context.carried(block.layer, static_cast<std::int64_t>(h), 0).data() + begins[h];
    std::copy(maxima[h * of_group].begin(), maxima[h * of_group].end(), to);
    for (std::size_t i = h * of_group + 1; i < (h + 1) * of_group; ++i) {
      for (std::size_t j = 0; j < maxima[i].size(); ++j) to[j] = std::max(to[j], maxima[i][j]);
    }
  }
}

std::vector<Scores> KVzipScores::with_sinks_safe(const ContextView& context) const {
  std::vector<Scores> scores = carried_scores(context, 0);
  float highest = 0;
  for (const Scores& of_layer : scores) highest = std::max(highest, above_all(of_layer));
  for (std::size_t l = 0; l < scores.size(); ++l) {
    for (std::size_t h = 0; h < scores[l].size(); ++h) {
      const KVHead& head = context.cache.head(static_cast<std::int64_t>(l), static_cast<std::int64_t>(h));
      std::fill_n(scores[l][h].begin(), first_entry_from(head, n_sink), highest);
    }
  }
  return scores;
}

}  // namespace kvpress
