// LU-KV (https://arxiv.org/abs/2602.08585): the heads of all layers share the budget as measured for the model. A file
// of curves says, for each percent of the whole that goes, what share of each head goes; a press inside ranks the
// entries.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/kit/trained_file.h"
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/registry.h"
#include "ops/topk.h"
#include "press/entries.h"
#include "press/kit/head_budget.h"

namespace kvpress {
namespace {

constexpr std::int64_t kCurves = 99;  // of 1 %, 2 %, ..., 99 %

class LuKV : public Wrapper<Selector<LuKV>> {
 public:
  LuKV() {
    const NamedPress inside = parse_press("expected_attention(epsilon=0.02)");
    press_ = {inside.text, inside.press->clone()};
  }

  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the entries of each head; the curves are measured for it");
    visitor.integer("sink", sink_, 0, "first tokens that are always kept");
    visitor.integer("window", window_, 0, "newest tokens that are always kept");
    visitor.file("file", file_, "safetensors file with curves [99, layers, KV heads]: evicted share of each head");
  }
  void prepare(const PressSetup& setup) override {
    const TrainedFile file("press lukv", "file", "", file_, setup);
    curves_ = std::make_shared<const std::vector<float>>(
        file.tensor("curves", {kCurves, setup.config.n_layers, setup.config.n_kv_heads}));
    press_->prepare(setup);
  }

  Kept select(const LayerView& layer) override {
    const std::vector<std::int64_t> counts = keep_counts(layer);
    bool fits = true;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      fits = fits && layer.head(h).size() <= counts[h];
    }
    if (fits) return {};
    Scores scores = scores_of(*press_, layer);
    const float forced = above_all(scores);
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const auto positions = layer.head(h).positions();
      auto& row = scores[h];
      for (std::size_t j = 0; j < row.size(); ++j) {
        // Where there is no room for all of them, the sinks go last.
        if (positions[j] >= layer.budget.n_seen - window_) row[j] = forced;
        if (positions[j] < sink_) row[j] = forced + 1;
      }
    }
    return best_of_each_head(scores, counts);
  }

 private:
  /// In float32, step by step as kvpress 0.5.5 does: the layer's total is rounded, each head's number is rounded down,
  /// and what is left over goes to the largest fractions.
  std::vector<std::int64_t> keep_counts(const LayerView& layer) const {
    const double ratio = layer.budget.ratio;
    const std::int64_t n_heads = layer.n_kv_heads();
    const std::int64_t curve = std::clamp<std::int64_t>(std::llrint(ratio * 100) - 1, 0, kCurves - 1);
    const float* gone = curves_->data() + (curve * layer.block.config.n_layers + layer.block.layer) * n_heads;
    // Past the last curve, what that one leaves shrinks in proportion.
    const double last = static_cast<double>(kCurves) / 100;
    const float beyond = ratio > last ? static_cast<float>((1 - ratio) / (1 - last)) : 1.0f;
    const auto n = static_cast<float>(tokens_in_sight(layer));
    std::vector<std::int64_t> counts;
    AlignedVector<float> fractions;
    float total = 0;
    for (std::int64_t h = 0; h < n_heads; ++h) {
      const float ideal = std::clamp(1.0f - gone[h], 0.0f, 1.0f) * beyond * n;
      total += ideal;
      counts.push_back(static_cast<std::int64_t>(std::floor(ideal)));
      fractions.push_back(ideal - std::floor(ideal));
    }
    const std::int64_t wanted = std::clamp<std::int64_t>(std::llrint(total), n_heads, n_heads * layer.budget.n_seen);
    const std::int64_t left = wanted - std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
    for (const std::int32_t h : top_k(fractions, std::clamp<std::int64_t>(left, 0, n_heads))) {
      ++counts[h];
    }
    for (std::int64_t& count : counts) count = std::clamp<std::int64_t>(count, 1, layer.budget.n_seen);
    return counts;
  }

  std::int64_t sink_ = 4;
  std::int64_t window_ = 1;
  std::string file_;
  std::shared_ptr<const std::vector<float>> curves_;  // [kCurves, layers, KV heads]
};

}  // namespace

const PressEntry kLuKVPress = {
    "lukv",
    "divides the budget among all heads of all layers by curves measured for the model",
    "https://arxiv.org/abs/2602.08585",
    "a file of curves, needs of the inner press",
    make_press<LuKV>,
    "The loss of each head per evicted token can be measured beforehand, and the shares with the smallest total loss "
    "computed for every ratio. At run time each head looks up its share and keeps its best entries.",
    "head h of layer l keeps n(1 - curves[100·ratio - 1, l, h]) entries with the best s_j, in any case the first sink "
    "and the last window tokens",
    "If there is a file of curves for the model and the inner press (LU-KV publishes one for Llama-3.1-8B)."};

}  // namespace kvpress
