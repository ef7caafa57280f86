// An example of a press around another one: what the newest query matches, added to what the press inside scores.
// s_j = mean over the neighbours of j of max over the group of q . k_j, and the inner score, both with deviation 1.
#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/kit/row_scores.h"
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/plugin.h"

namespace kvpress {
namespace {

class NewestMatch : public Wrapper<Scorer<NewestMatch>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "its scores are added");
    visitor.integer("kernel_size", kernel_size_, 1, "neighbours that the matches are averaged over");
  }

  // What the press inside needs, and one query.
  PressNeeds needs() const override { return press_->needs() + PressNeeds{.recent_queries = 1}; }

  void score(const LayerView& layer, Scores& scores) override {
    const Scores inner = scores_of(*press_, layer);
    const std::vector<std::vector<float>> queries = newest_queries(layer);
    const auto d = static_cast<std::size_t>(layer.block.config.head_dim);
    for_each_key(layer, [&](std::int64_t h, std::int64_t j, std::span<const float> key) {
      float best = std::numeric_limits<float>::lowest();
      for (std::size_t at = 0; at < queries[h].size(); at += d) {  // the query heads of the group
        best = std::max(best, dot(std::span(queries[h]).subspan(at, d), key));
      }
      scores[h][j] = best;
    });
    for (auto& row : scores) average_neighbours(row, kernel_size_);
    standardize(scores, all_entries(layer));
    Scores other = inner;
    standardize(other, all_entries(layer));
    for (std::size_t h = 0; h < scores.size(); ++h) {
      std::transform(scores[h].begin(), scores[h].end(), other[h].begin(), scores[h].begin(), std::plus<>());
    }
  }

 private:
  /// For each KV head the newest token's queries of its group, [group * head_dim]. Queries come before RoPE; keys in
  /// the cache are turned. Each is turned to the position of its own token.
  static std::vector<std::vector<float>> newest_queries(const LayerView& layer) {
    const std::int64_t d = layer.block.config.head_dim;
    const std::int64_t group = layer.block.config.n_heads / layer.n_kv_heads();
    const float* newest = layer.recent_queries.row(layer.recent_queries.rows - 1);
    std::vector<std::vector<float>> queries;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const float* first = newest + h * group * d;
      queries.emplace_back(first, first + group * d);
      const std::int64_t position = layer.head(h).rope_position(layer.head(h).size() - 1);
      for (std::int64_t g = 0; g < group; ++g) layer.block.rope.apply(queries.back().data() + g * d, position);
    }
    return queries;
  }

  std::int64_t kernel_size_ = 5;
};

}  // namespace

extern const PressEntry kNewestMatchPress;
const PressEntry kNewestMatchPress = {
    "newest_match", "keeps what the newest query matches, and what the press inside scores highly", "",
    "keys, the newest query, and what the press inside needs", make_press<NewestMatch>};

}  // namespace kvpress

KVPRESS_PLUGIN(&kvpress::kNewestMatchPress)
