// CaM (https://openreview.net/forum?id=LCTmppB165): before entries are evicted, the values of the best of them are
// added to the entries that stay right after them, with a probability that grows with the attention they got.
#include <algorithm>
#include <random>
#include <vector>

#include "kvpress/model/weights.h"
#include "kvpress/ops/attention/attention.h"
#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/press_state.h"
#include "model/attention_args.h"
#include "ops/rowwise.h"
#include "ops/topk.h"
#include "press/entries.h"
#include "press/kit/sinks.h"

namespace kvpress {
namespace {

class Cam : public Wrapper<Editor<Cam>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the entries");
    visitor.integer("merge_budget", merge_budget_, 1, "entries that a value is distributed over");
  }
  /// Beside what the press inside carries: the attention an entry got from the last query of every later block.
  PressNeeds needs() const override {
    PressNeeds needs = press_->needs();
    needs.every_block = true;
    ++needs.n_carried;
    return needs;
  }

  void observe(const LayerView& layer) override {
    if (press_->needs().every_block) press_->observe(layer);
    const auto l = static_cast<std::size_t>(layer.block.layer);
    if (counts_.size() <= l) counts_.resize(l + 1);
    if (layer.block.first_position == 0) {
      counts_[l] = {layer.block.n_new, 0};
      return;
    }
    counts_[l].since += layer.block.n_new;
    add_attention(layer);
  }

  void visit_state(StateVisitor& visitor) override {
    visitor.layers(counts_, [&](Counts& it) {
      visitor.integer(it.first_block, 0, visitor.n_tokens());
      visitor.integer(it.since, 0, visitor.n_tokens());
    });
  }

  void compress(const LayerView& layer) override {
    if (layer.fits()) return;
    Counts& counts = counts_[layer.block.layer];
    // Where nothing has followed the first block yet, its own last query has to tell.
    if (counts.since == 0) add_attention(layer);
    const std::int64_t n_new = counts.since > 0 ? counts.since : counts.first_block;
    Scores scores = scores_of(*press_, layer);
    if (same_entries(layer)) average(scores);
    const Kept kept = best_of_each_head(scores, layer.budget.n_kept);
    std::mt19937 random(static_cast<std::uint32_t>(layer.budget.seed * 7919 +
                                                   static_cast<std::uint64_t>(layer.block.layer) * 104729 +
                                                   static_cast<std::uint64_t>(layer.budget.n_seen)));
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const auto at = static_cast<std::size_t>(h);
      merge(layer, h, kept[at], best_evicted(scores[at], kept[at], n_new), random);
    }
    counts.since = 0;
    layer.keep(kept);
  }

 private:
  struct Counts {
    std::int64_t first_block = 0;
    std::int64_t since = 0;  // tokens after it, or since the last compression
  };

  std::int64_t own_channel() const { return press_->needs().n_carried; }

  /// The last query's attention, averaged over the group, beside each entry.
  void add_attention(const LayerView& layer) const {
    std::vector<HeadKV> kv;
    std::vector<AlignedVector<float>> weights;
    std::vector<float*> rows;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      kv.push_back(layer.head(h).view());
      weights.emplace_back(static_cast<std::size_t>(layer.head(h).size()));
    }
    for (auto& row : weights) rows.push_back(row.data());
    const AttentionArgs args =
        attention_args(layer.block.config, layer.block.layer, layer.block.queries.row(layer.block.n_new - 1), 1, kv,
                       layer.block.cache.shape().format.type);
    mean_weights_with_sinks(args, layer.block.weights.sinks, rows);
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const auto& row = weights[h];
      add(row.data(), layer.carried(h, own_channel()).data(), static_cast<std::int64_t>(row.size()));
    }
  }

  static bool same_entries(const LayerView& layer) {
    const auto first = layer.head(0).positions();
    for (std::int64_t h = 1; h < layer.n_kv_heads(); ++h) {
      const auto other = layer.head(h).positions();
      if (!std::equal(first.begin(), first.end(), other.begin(), other.end())) return false;
    }
    return true;
  }

  /// All heads keep the same entries, as long as they hold the same.
  static void average(Scores& scores) {
    for (std::size_t j = 0; j < scores.front().size(); ++j) {
      float sum = 0;
      for (const auto& row : scores) sum += row[j];
      for (auto& row : scores) row[j] = sum / static_cast<float>(scores.size());
    }
  }

  /// The n best of those that go, ascending.
  static std::vector<std::int32_t> best_evicted(std::span<const float> scores, std::span<const std::int32_t> kept,
                                                std::int64_t n) {
    std::vector<std::int32_t> evicted;
    AlignedVector<float> worth;
    auto next = kept.begin();
    for (std::int32_t j = 0; j < static_cast<std::int32_t>(scores.size()); ++j) {
      if (next != kept.end() && *next == j) {
        ++next;
        continue;
      }
      evicted.push_back(j);
      worth.push_back(scores[j]);
    }
    std::vector<std::int32_t> best = top_k(worth, n);
    for (std::int32_t& it : best) it = evicted[it];
    return best;
  }

  void merge(const LayerView& layer, std::int64_t h, std::span<const std::int32_t> kept,
             std::span<const std::int32_t> candidates, std::mt19937& random) const {
    const KVHead& head = layer.head(h);
    const std::int64_t d = layer.block.config.head_dim;
    const std::span<const float> attention = layer.carried(h, own_channel());
    AlignedVector<float> sums(kept.size() * static_cast<std::size_t>(d), 0.0f);
    std::vector<char> changed(kept.size(), 0);
    std::vector<float> value(static_cast<std::size_t>(d));
    for (const std::int32_t i : candidates) {
      // torch's uniform numbers, one a candidate whether it can be merged or not.
      const float draw = static_cast<float>(random() & 0xffffffu) / static_cast<float>(1 << 24);
      const auto begin = std::upper_bound(kept.begin(), kept.end(), i) - kept.begin();
      const auto end = std::min<std::ptrdiff_t>(begin + merge_budget_, std::ssize(kept));
      if (begin == end) continue;
      float mean = 0;
      for (auto t = begin; t < end; ++t) mean += attention[kept[static_cast<std::size_t>(t)]];
      mean /= static_cast<float>(end - begin);
      const float own = attention[i];
      const float probability = mean > 0 ? own / mean : own > 0 ? 1.0f : 0.0f;
      if (draw >= probability) continue;
      head.values_as_float(i, 1, value.data());
      scale(value.data(), d, 1.0f / static_cast<float>(end - begin));
      for (auto t = begin; t < end; ++t) {
        add(value.data(), sums.data() + t * d, d);
        changed[t] = 1;
      }
    }
    for (std::size_t t = 0; t < kept.size(); ++t) {
      if (changed[t] == 0) continue;
      head.values_as_float(kept[t], 1, value.data());
      add(sums.data() + t * static_cast<std::size_t>(d), value.data(), d);
      layer.write_value(h, kept[t], value.data());
    }
  }

  std::int64_t merge_budget_ = 32;
  std::vector<Counts> counts_;  // one a layer
};

}  // namespace

const PressEntry kCamPress = {
    "cam",
    "adds the values of evicted entries to the entries after them, with a probability",
    "https://openreview.net/forum?id=LCTmppB165",
    "needs of the inner press, values, the last query of each block",
    make_press<Cam>,
    "Evicting a value changes all later outputs. CaM distributes it over the next kept entries, with a probability "
    "that grows with its attention, so that outputs are correct on average.",
    "v_t += v_i/m for the next m ≤ merge_budget kept t after the evicted i, with probability min(1, A_i / mean of "
    "A_t), A the attention summed over the steps",
    "During decode, around a press that scores (protocol decode with a compression interval)."};

}  // namespace kvpress
