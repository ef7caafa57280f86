// DMS, the inference of dynamic memory sparsification (https://arxiv.org/abs/2506.05345) with the scores of any press:
// an entry that is older than a window goes for good when its score is below a threshold. How much goes follows from
// the text, not from the run's budget.
#include <algorithm>
#include <numeric>
#include <optional>

#include "kvpress/base/error.h"
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/layer_part.h"

namespace kvpress {
namespace {

class Dms : public Wrapper<Selector<Dms>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the entries");
    visitor.optional_real("threshold", threshold_, -ParameterVisitor::kNoMax, ParameterVisitor::kNoMax,
                          "entries with lower scores are evicted; required, on the scale of the inner press");
    visitor.integer("sliding_window_size", sliding_window_size_, 0, "newest tokens that are always kept");
  }
  PressNeeds needs() const override { return PressNeeds{.every_block = true, .n_carried = 1} + press_->needs(); }
  bool follows_budget() const override { return false; }

  void prepare(const PressSetup& setup) override {
    if (!threshold_) {
      fail_usage(
          "press dms: threshold is missing; write dms({0}, threshold=X), where entries that {0} scores below X are "
          "evicted",
          press_.text);
    }
    press_->prepare(setup);
  }

  /// Scores the new entries, once, when they come: the press inside sees no others.
  void observe(const LayerView& layer) override {
    LayerView inner = layer;
    inner.first_carried += 1;
    inner.watcher = nullptr;  // which is shown the scores of all entries
    press_->observe(inner);
    const std::int64_t n_new = layer.block.n_new;
    if (layer.total_size() == n_new * layer.n_kv_heads()) {
      remember(layer, inner);
      return;
    }
    std::vector<KVHead> heads = empty_heads(layer);
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      std::vector<std::int32_t> newest(static_cast<std::size_t>(n_new));
      std::iota(newest.begin(), newest.end(), static_cast<std::int32_t>(layer.head(h).size() - n_new));
      heads[h].append(layer.head(h), newest);
    }
    const LayerPart part(inner, heads);
    remember(layer, part.view);
  }

  Kept select(const LayerView& layer) override {
    show_scores(layer);
    const auto threshold = static_cast<float>(threshold_.value_or(-ParameterVisitor::kNoMax));
    const std::int64_t first_safe = layer.budget.n_seen - sliding_window_size_;  // position
    Kept kept(static_cast<std::size_t>(layer.n_kv_heads()));
    std::int64_t n_kept = 0;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const auto positions = layer.head(h).positions();
      const auto scores = layer.carried(h, 0);
      auto& indices = kept[h];
      for (std::size_t j = 0; j < positions.size(); ++j) {
        if (positions[j] >= first_safe || !(scores[j] < threshold)) indices.push_back(static_cast<std::int32_t>(j));
      }
      n_kept += static_cast<std::int64_t>(indices.size());
    }
    return n_kept == layer.total_size() ? Kept{} : kept;
  }

 private:
  /// Writes what the press inside gives the new entries beside them.
  void remember(const LayerView& layer, const LayerView& newest) {
    const Scores scores = scores_of(*press_, newest);
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const auto& row = scores[h];
      std::copy(row.begin(), row.end(), layer.carried(h, 0).last(row.size()).begin());
    }
  }

  static void show_scores(const LayerView& layer) {
    if (layer.watcher == nullptr || !layer.watcher->scored) return;
    Scores scores;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const auto carried = layer.carried(h, 0);
      scores.emplace_back(carried.begin(), carried.end());
    }
    layer.watcher->scored(layer.block.layer, scores);
  }

  std::optional<double> threshold_;
  std::int64_t sliding_window_size_ = 128;
};

}  // namespace

const PressEntry kDmsPress = {
    "dms",
    "evicts entries that the inner press scores below a threshold, once they are older than a window",
    "https://arxiv.org/abs/2506.05345",
    "needs of the inner press",
    make_press<Dms>,
    "The number of tokens needed differs between texts, layers and heads. A threshold keeps as many tokens as score "
    "above it, and a window gives every token time to be used before it is evicted.",
    "entry j is evicted if s_j < threshold and at least sliding_window_size tokens came after it; s_j is computed "
    "once, among the tokens of its own block",
    "With a press whose scores are comparable between texts, such as kvzap; threshold has no default, the compression "
    "ratio is ignored."};

}  // namespace kvpress
