// KVCompose (https://arxiv.org/abs/2509.05165): the text attends to itself once more, and each head ranks its tokens by
// the attention they get. The tokens of one rank in the heads of a layer make up a composite token: all layers compete
// with their composite tokens, and the heads of a layer stay equally long.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/press_state.h"
#include "ops/topk.h"
#include "press/entries.h"
#include "press/kit/global_selection.h"
#include "press/kit/replay.h"

namespace kvpress {
namespace {

constexpr std::array<std::string_view, 2> kAggregations = {"mean", "max"};
constexpr float kCertain = std::numeric_limits<float>::max();

template <bool kStructured>
class KVCompose : public ContextPress<KVCompose<kStructured>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    if (kStructured) visitor.flag("structured", structured_, "all heads of a layer keep the same number");
    visitor.choice("agg_task", agg_task_, kAggregations, "aggregation over the queries of the second pass");
    visitor.choice("agg_group", agg_group_, kAggregations, "aggregation over the query heads of a group");
    visitor.choice("agg_head", agg_head_, kAggregations, "aggregation over the heads of a layer, rank by rank");
    visitor.flag("add_v_norm", add_v_norm_, "multiply by the norm of the value");
    visitor.flag("add_mean_across_heads", add_mean_across_heads_, "add the token's mean score over the layer's heads");
    visitor.integer("keep_token_lower_bound", keep_token_lower_bound_, 0, "entries that every layer keeps at least");
  }
  PressNeeds needs() const override { return {.n_carried = 1}; }

  void visit_state(StateVisitor& visitor) override { visitor.integer(n_scored_, 0, visitor.n_tokens()); }

  void compress_context(const ContextView& context) override {
    replay(context, context.tokens.subspan(static_cast<std::size_t>(n_scored_)), true,
           [&](const AttentionBlock& block) { score_block(context, block); });
    n_scored_ = static_cast<std::int64_t>(context.tokens.size());
    const std::vector<Scores> scores = carried_scores(context, 0);
    if (structured_) {
      keep_composite_tokens(context, scores);
    } else {
      keep_entries(context, scores);
    }
  }

 private:
  /// Fills the carried scores of the entries that came since the last compression.
  void score_block(const ContextView& context, const AttentionBlock& block) const {
    const auto group = static_cast<std::size_t>(block.config.group_size());
    std::vector<const KVHead*> heads;
    for (std::int64_t h = 0; h < block.config.n_kv_heads; ++h) heads.push_back(&block.cache.head(block.layer, h));
    std::vector<HeadKV> kv;
    const std::vector<AlignedVector<float>> weights =
        // log_sum_exp is read only: the block's own, of all entries.
        of_query_heads(attention_over(block, heads, true, const_cast<float*>(block.log_sum_exp), kv));
    std::vector<std::span<float>> scores;
    for (std::size_t h = 0; h < heads.size(); ++h) {
      const std::int64_t begin = first_entry_from(*heads[h], n_scored_);
      const std::span<float> row = context.carried(block.layer, static_cast<std::int64_t>(h), 0)
                                       .subspan(static_cast<std::size_t>(begin),
                                                static_cast<std::size_t>(heads[h]->size() - block.n_new - begin));
      const auto of_head = [&](std::size_t g) { return weights[h * group + g].data() + begin; };
      std::copy_n(of_head(0), row.size(), row.begin());
      for (std::size_t g = 1; g < group; ++g) take_in(of_head(g), agg_group_, row);
      if (agg_group_ == "mean") divide(row, static_cast<float>(group));
      if (add_v_norm_) weigh_by_value(*heads[h], block.config.head_dim, begin, row);
      scores.push_back(row);
    }
    if (add_mean_across_heads_) add_means(heads, static_cast<std::int64_t>(context.tokens.size()), scores);
  }

  /// The mean or the largest weight that each entry gets, for every query head.
  std::vector<AlignedVector<float>> of_query_heads(const AttentionArgs& args) const {
    std::vector<AlignedVector<float>> weights;
    for (const HeadKV& head : args.kv) weights.emplace_back(static_cast<std::size_t>(head.n), 0.0f);
    if (agg_task_ == "max") {
      std::vector<std::span<float>> rows;
      for (auto& row : weights) {  // without the second pass's own entries
        rows.push_back(std::span(row).first(row.size() - static_cast<std::size_t>(args.n_new)));
      }
      attention_column_maxima(args, nullptr, rows);
    } else {
      std::vector<float*> rows;
      for (auto& row : weights) rows.push_back(row.data());
      attention_column_sums(args, rows);
      for (auto& row : weights) divide(row, static_cast<float>(args.n_new));
    }
    return weights;
  }

  static void take_in(const float* values, const std::string& aggregation, std::span<float> to) {
    const bool max = aggregation == "max";
    for (std::size_t j = 0; j < to.size(); ++j) to[j] = max ? std::max(to[j], values[j]) : to[j] + values[j];
  }

  static void divide(std::span<float> values, float by) {
    for (float& value : values) value /= by;
  }

  static void weigh_by_value(const KVHead& head, std::int64_t head_dim, std::int64_t begin, std::span<float> scores) {
    const auto d = static_cast<std::size_t>(head_dim);
    AlignedVector<float> values(scores.size() * d);
    head.values_as_float(begin, static_cast<std::int64_t>(scores.size()), values.data());
    for (std::size_t j = 0; j < scores.size(); ++j) {
      const std::span<const float> value(values.data() + j * d, d);
      scores[j] *= std::sqrt(dot(value, value));
    }
  }

  /// Adds to each score the token's mean over the heads that hold it: another press may have left each its own.
  /// `n_seen`: tokens of the text. scores[h]: of a head's entries from n_scored_ on.
  void add_means(const std::vector<const KVHead*>& heads, std::int64_t n_seen,
                 const std::vector<std::span<float>>& scores) const {
    const auto n = static_cast<std::size_t>(n_seen - n_scored_);
    std::vector<float> sums(n, 0.0f);
    std::vector<float> holders(n, 0.0f);
    const auto for_each = [&](const auto& body) {  // body(token, its score in one head)
      for (std::size_t h = 0; h < scores.size(); ++h) {
        const auto positions =
            heads[h]->positions().subspan(static_cast<std::size_t>(first_entry_from(*heads[h], n_scored_)));
        for (std::size_t j = 0; j < scores[h].size(); ++j) {
          body(static_cast<std::size_t>(positions[j] - n_scored_), scores[h][j]);
        }
      }
    };
    for_each([&](std::size_t token, const float& score) {
      sums[token] += score;
      holders[token] += 1.0f;
    });
    for_each([&](std::size_t token, float& score) { score += sums[token] / holders[token]; });
  }

  /// What the composite tokens of a layer are worth, best first.
  AlignedVector<float> curve_of(const Scores& scores) const {
    AlignedVector<float> curve;
    for (AlignedVector<float> row : scores) {
      std::sort(row.begin(), row.end(), std::greater<>());
      if (curve.empty()) {
        curve = row;
        continue;
      }
      curve.resize(std::min(curve.size(), row.size()));
      take_in(row.data(), agg_head_, curve);
    }
    if (agg_head_ == "mean") divide(curve, static_cast<float>(scores.size()));
    const auto certain = std::min(curve.size(), static_cast<std::size_t>(keep_token_lower_bound_));
    std::fill_n(curve.begin(), certain, kCertain);
    return curve;
  }

  void keep_composite_tokens(const ContextView& context, const std::vector<Scores>& scores) const {
    tell(context, scores);
    const std::vector<std::int64_t> layers = context.layers();
    std::vector<AlignedVector<float>> curves;
    for (const std::int64_t l : layers) curves.push_back(curve_of(scores[l]));
    for (const auto& curve : curves) {  // the first layer is the longest: programs read a cache's length there
      for (std::size_t j = 0; j < std::min(curve.size(), curves[0].size()); ++j) {
        curves[0][j] = std::max(curves[0][j], curve[j]);
      }
    }
    AlignedVector<float> all;
    for (const auto& curve : curves) all.insert(all.end(), curve.begin(), curve.end());
    std::vector<std::int64_t> counts(curves.size(), 0);
    std::size_t layer = 0;
    auto end = static_cast<std::int64_t>(curves[0].size());
    for (const std::int32_t i : top_k(all, entries_left(context.budget, std::ssize(layers), false))) {
      while (i >= end) end += static_cast<std::int64_t>(curves[++layer].size());
      ++counts[layer];
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const std::int64_t count = std::max({counts[i], std::int64_t{1}, keep_token_lower_bound_});
      context.keep(layers[i], best_of_each_head(scores[layers[i]], count));
    }
  }

  void keep_entries(const ContextView& context, std::vector<Scores> scores) const {
    for (Scores& of_layer : scores) {
      for (auto& row : of_layer) {
        for (const std::int32_t i : top_k(row, keep_token_lower_bound_)) row[i] = kCertain;
      }
    }
    const std::int64_t n_heads = std::ssize(context.layers()) * context.cache.shape().n_kv_heads;
    keep_best_of_all(context, scores, entries_left(context.budget, n_heads, false));
  }

  bool structured_ = kStructured;
  std::string agg_task_ = "max";
  std::string agg_group_ = "mean";
  std::string agg_head_ = "mean";
  bool add_v_norm_ = false;
  bool add_mean_across_heads_ = true;
  std::int64_t keep_token_lower_bound_ = 0;
  std::int64_t n_scored_ = 0;
};

}  // namespace

const PressEntry kKVComposePress = {
    "kvcompose",
    "keeps the entries that a second pass over the text attends to; layers differ in length, heads of a layer do not",
    "https://arxiv.org/abs/2509.05165",
    "a second pass over the text",
    make_press<KVCompose<true>>,
    "In a second pass every token can attend to the whole text, which shows what matters. Each head selects its own "
    "tokens; those of equal rank form composite tokens, for which all layers compete, so that the cache of each layer "
    "remains a dense tensor.",
    "s_j = largest weight at j of any query of the second pass, mean over the group, plus the mean of that over the "
    "layer's heads; score of a rank: mean over heads of the scores at that rank; the ⌊L × n × (1 - ratio)⌋ best ranks "
    "of all layers are kept",
    "If the heads of a layer must have the same length; compression costs a second prefill."};

const PressEntry kKVComposeUnstructuredPress = {
    "kvcompose_unstructured",
    "as kvcompose, but heads may have different lengths",
    "https://arxiv.org/abs/2509.05165",
    "a second pass over the text",
    make_press<KVCompose<false>>,
    "Composite tokens give all heads of a layer the same length. If heads may differ, the best entries of all heads of "
    "all layers are kept.",
    "s_j as for kvcompose; the ⌊L × heads × n × (1 - ratio)⌋ best entries are kept",
    "As kvcompose, if heads may have different lengths."};

}  // namespace kvpress
