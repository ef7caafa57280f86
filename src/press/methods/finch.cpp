// FINCH (https://aclanthology.org/2024.tacl-1.83/): what the question at the end of the prompt attends to, each of its
// tokens weighed by how many it chooses from; kept keys are then renumbered, so that the context it was cut from may be
// longer than what the model was trained for.
#include <algorithm>
#include <cmath>

#include "kvpress/base/error.h"
#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/kit/window.h"
#include "kvpress/press/parameters.h"
#include "ops/topk.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class Finch : public Selector<Finch> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.integer("window_size", window_size_, 1, "tokens of the question, at the end of the context");
    visitor.optional_integer("chunk_length", chunk_length_, 1,
                             "select within chunks of this many entries; none: among all");
    visitor.flag("normalize_scores", normalize_scores_, "multiply each query by the number of entries before it");
    visitor.flag("rerotate_keys", rerotate_keys_, "renumber the positions of the kept entries");
  }
  PressNeeds needs() const override {
    PressNeeds needs;
    needs.recent_queries = window_size_;
    needs.rebuilds_positions = rerotate_keys_;
    return needs;
  }
  void prepare(const PressSetup& setup) override {
    if (rerotate_keys_ && !setup.config.has_rope()) {
      fail_usage("press finch: model '{}' has no RoPE, so positions cannot be renumbered; use rerotate_keys=false",
                 setup.model_name);
    }
  }

  Kept select(const LayerView& layer) override {
    if (layer.fits()) return {};
    const Scores scores = scores_of(*this, layer);
    if (!chunk_length_) return best_of_each_head(scores, layer.budget.n_kept);
    Kept kept(scores.size());
    for (std::size_t h = 0; h < scores.size(); ++h) kept[h] = best_of_chunks(scores[h], layer.budget);
    return kept;
  }

  void score(const LayerView& layer, Scores& scores) override {
    const std::int64_t window = window_attention(layer, window_size_, scores,
                                                 normalize_scores_ ? WindowRows::by_entries_before : WindowRows::alike);
    for (auto& row : scores) std::fill_n(row.end() - window, window, 0.0f);
    const float forced = above_all(scores);
    for (auto& row : scores) std::fill_n(row.end() - window, window, forced);
  }

 private:
  /// The same share of each chunk.
  std::vector<std::int32_t> best_of_chunks(std::span<const float> scores, const BudgetView& budget) const {
    const auto n = static_cast<std::int64_t>(scores.size());
    // Of what was compressed before, less has to go than of the text.
    const double stays =
        n == budget.n_seen ? 1.0 - budget.ratio : static_cast<double>(budget.n_kept) / static_cast<double>(n);
    std::vector<std::int32_t> kept;
    for (std::int64_t first = 0; first < n; first += *chunk_length_) {
      const auto chunk = scores.subspan(static_cast<std::size_t>(first),
                                        static_cast<std::size_t>(std::min(*chunk_length_, n - first)));
      const auto n_kept = static_cast<std::int64_t>(static_cast<double>(chunk.size()) * std::min(1.0, stays));
      for (const std::int32_t i : top_k(chunk, std::max<std::int64_t>(1, n_kept))) {
        kept.push_back(static_cast<std::int32_t>(first) + i);
      }
    }
    return kept;
  }

  std::int64_t window_size_ = 64;
  std::optional<std::int64_t> chunk_length_;
  bool normalize_scores_ = true;
  bool rerotate_keys_ = true;
};

}  // namespace

const PressEntry kFinchPress = {
    "finch",
    "keeps the tokens that the question at the end attends to, and renumbers positions",
    "https://aclanthology.org/2024.tacl-1.83/",
    "keys, the last window_size queries",
    make_press<Finch>,
    "The question at the end of a prompt shows which parts of the context matter. The tokens that it attends to are "
    "kept and moved together, so that the answer follows directly.",
    "s_j = mean over the last window_size queries i of (entries before i)·(softmax weight of i at j), mean over the "
    "group; the window is kept; positions are renumbered",
    "For a question after a long context; window_size is the question's length in tokens."};

}  // namespace kvpress
