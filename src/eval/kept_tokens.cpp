#include "kvpress/eval/kept_tokens.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/engine/sequence.h"

namespace kvpress {
namespace {

/// A head's tokens as bits: pairs of heads are many, texts long.
using Bits = std::vector<std::uint64_t>;

Bits bits_of(const std::vector<std::int32_t>& positions, std::int64_t n_tokens) {
  Bits bits(static_cast<std::size_t>((n_tokens + 63) / 64));
  for (const std::int32_t it : positions) bits[static_cast<std::size_t>(it) / 64] |= std::uint64_t{1} << (it % 64);
  return bits;
}

double overlap_of(const Bits& a, const Bits& b) {
  std::int64_t both = 0;
  std::int64_t either = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    both += std::popcount(a[i] & b[i]);
    either += std::popcount(a[i] | b[i]);
  }
  return either == 0 ? 1 : static_cast<double>(both) / static_cast<double>(either);
}

/// Positions in [first, last).
std::int64_t count_in(const std::vector<std::int32_t>& positions, std::int64_t first, std::int64_t last) {
  const auto begin = std::lower_bound(positions.begin(), positions.end(), first);
  return std::lower_bound(begin, positions.end(), last) - begin;
}

class Mean {
 public:
  void add(double value) {
    sum_ += value;
    ++n_;
  }
  double value_or(double otherwise) const { return n_ == 0 ? otherwise : sum_ / static_cast<double>(n_); }

 private:
  double sum_ = 0;
  std::int64_t n_ = 0;
};

/// A press around another one is asked last: its scores replace those of the press inside.
void take_scores(const KVCache& cache, std::int64_t layer, const Scores& scored, std::size_t n_tokens,
                 TokenScores& scores) {
  for (std::int64_t h = 0; h < scores.n_kv_heads; ++h) {
    const auto positions = cache.head(layer, h).positions();
    if (scored.size() <= static_cast<std::size_t>(h) || scored[h].size() != positions.size()) return;  // of a part
  }
  const auto n_heads = static_cast<std::size_t>(cache.shape().n_layers * scores.n_kv_heads);
  if (scores.heads.empty()) scores.heads.resize(n_heads);
  for (std::int64_t h = 0; h < scores.n_kv_heads; ++h) {
    auto& row = scores.heads[layer * scores.n_kv_heads + h];
    row.assign(n_tokens, std::numeric_limits<float>::quiet_NaN());
    const auto positions = cache.head(layer, h).positions();
    for (std::size_t j = 0; j < positions.size(); ++j) row[positions[j]] = scored[h][j];
  }
}

/// A layer drops what its window has left behind many at a time: what waits is not kept for anybody.
void show_windows(const ModelConfig& config, KeptTokens& kept) {
  for (std::int64_t l = 0; l < kept.n_layers; ++l) {
    const std::int64_t window = config.layer(l).window;
    kept.windows.push_back(window);
    if (window == 0) continue;
    for (std::int64_t h = 0; h < kept.n_kv_heads; ++h) {
      auto& positions = kept.heads[l * kept.n_kv_heads + h];
      positions.erase(positions.begin(), std::upper_bound(positions.begin(), positions.end(), kept.n_tokens - window));
    }
  }
}

KeptTokens counted(const KeptTokens& kept) {
  KeptTokens rest{kept.n_tokens, 0, kept.n_kv_heads, {}};
  for (const std::int64_t l : kept.counted_layers()) {
    ++rest.n_layers;
    for (std::int64_t h = 0; h < kept.n_kv_heads; ++h) rest.heads.push_back(kept.head(l, h));
  }
  return rest;
}

}  // namespace

std::vector<std::int64_t> KeptTokens::counted_layers() const {
  std::vector<std::int64_t> layers;
  for (std::int64_t l = 0; l < n_layers; ++l) {
    if (window(l) == 0) layers.push_back(l);
  }
  if (layers.empty()) {
    layers.resize(static_cast<std::size_t>(n_layers));
    std::iota(layers.begin(), layers.end(), 0);
  }
  return layers;
}

std::vector<std::int32_t> KeptTokens::heads_by_token() const {
  std::vector<std::int32_t> counts(static_cast<std::size_t>(n_tokens));
  for (const auto& positions : heads) {
    for (const std::int32_t it : positions) ++counts[it];
  }
  return counts;
}

KeptTokens kept_tokens(const KVCache& cache, std::int64_t n_tokens) {
  KeptTokens kept{n_tokens, cache.shape().n_layers, cache.shape().n_kv_heads, {}};
  for (std::int64_t l = 0; l < kept.n_layers; ++l) {
    for (std::int64_t h = 0; h < kept.n_kv_heads; ++h) {
      const auto positions = cache.head(l, h).positions();
      kept.heads.emplace_back(positions.begin(), positions.end());
    }
  }
  return kept;
}

KeptTokens kept_tokens(const Model& model, std::span<const std::int32_t> ids, const CompressionSettings& settings,
                       std::int64_t chunk_size, const OnProgress& on_progress, TokenScores* scores) {
  if (ids.empty()) fail_usage("no text to read: the text has no tokens");
  Sequence sequence(model, settings);
  if (scores != nullptr) {
    *scores = {model.config().n_kv_heads, {}};
    Watcher watcher;
    watcher.scored = [&](std::int64_t layer, const Scores& scored) {
      take_scores(sequence.cache(), layer, scored, ids.size(), *scores);
    };
    sequence.set_watcher(std::move(watcher));
  }
  const std::size_t chunk = chunk_size > 0 ? static_cast<std::size_t>(chunk_size) : ids.size();
  for (std::size_t at = 0; at < ids.size(); at += chunk) {
    const auto block = ids.subspan(at, std::min(chunk, ids.size() - at));
    sequence.append(block);
    if (on_progress) on_progress(static_cast<std::int64_t>(block.size()));
  }
  warn_if_nothing_is_quantized(sequence);
  KeptTokens kept = kept_tokens(sequence.cache(), sequence.n_tokens());
  if (model.config().has_windows()) show_windows(model.config(), kept);
  return kept;
}

KeptSummary summary_of(const KeptTokens& of_all_layers) {
  KeptSummary summary;
  const KeptTokens kept = counted(of_all_layers);
  const auto n = static_cast<double>(kept.n_tokens);
  const std::int64_t n_first = std::min(kFirstTokens, kept.n_tokens);
  const std::int64_t n_last = std::min(kLastTokens, kept.n_tokens);
  Mean share;
  Mean first;
  Mean last;
  std::vector<Bits> bits;
  summary.smallest = kept.n_tokens;
  for (const auto& positions : kept.heads) {
    const auto size = static_cast<std::int64_t>(positions.size());
    summary.smallest = std::min(summary.smallest, size);
    summary.largest = std::max(summary.largest, size);
    share.add(static_cast<double>(size) / n);
    first.add(static_cast<double>(count_in(positions, 0, n_first)) / static_cast<double>(n_first));
    last.add(static_cast<double>(count_in(positions, kept.n_tokens - n_last, kept.n_tokens)) /
             static_cast<double>(n_last));
    bits.push_back(bits_of(positions, kept.n_tokens));
  }
  summary.share = share.value_or(0);
  summary.share_of_first = first.value_or(0);
  summary.share_of_last = last.value_or(0);
  const auto n_heads = static_cast<std::int32_t>(kept.heads.size());
  summary.n_heads = n_heads;
  for (const std::int32_t it : kept.heads_by_token()) {
    summary.by_all += it == n_heads;
    summary.by_none += it == 0;
  }
  Mean overlap;
  Mean in_layers;
  const auto per_layer = static_cast<std::size_t>(kept.n_kv_heads);
  for (std::size_t a = 0; a < bits.size(); ++a) {
    for (std::size_t b = a + 1; b < bits.size(); ++b) {
      const double it = overlap_of(bits[a], bits[b]);
      overlap.add(it);
      if (a / per_layer == b / per_layer) in_layers.add(it);
    }
  }
  summary.overlap = overlap.value_or(1);
  summary.overlap_in_layers = in_layers.value_or(1);
  summary.overlap_by_chance = summary.share / (2 - summary.share);
  return summary;
}

}  // namespace kvpress
