// Compactor (https://arxiv.org/abs/2507.08143): how far a token's key stands out (leverage) and how much its chunk
// attends to it (non_causal_attention), both standardized and added.
#include <algorithm>
#include <optional>

#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/chunk_attention.h"
#include "press/kit/leverage_scores.h"

namespace kvpress {
namespace {

class Compactor : public Scorer<Compactor> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.integer("sink_size_start", sink_size_start_, 0, "first tokens that are always kept");
    visitor.integer("sink_size_end", sink_size_end_, 0, "last tokens that are always kept");
    visitor.integer("chunk_size", chunk_size_, 1, "tokens of a chunk, which attend to each other");
    visitor.integer("sketch_dimension", sketch_dimension_, 1, "random channels that keys are projected to");
    visitor.optional_real("blending", blending_, 0, ParameterVisitor::kNoMax,
                          "weight of the leverage; none: the compression ratio");
  }
  PressNeeds needs() const override { return {.every_block = true, .n_carried = 1}; }

  void observe(const LayerView& layer) override {
    // What will stay anyhow attends to nothing and gets nothing. The last tokens of a block are the last ones only
    // until the next block: they are a chunk of their own.
    const std::int64_t n = layer.block.n_new;
    const std::int64_t first = std::clamp<std::int64_t>(sink_size_start_ - layer.block.first_position, 0, n);
    const std::int64_t n_last = std::min(sink_size_end_, n - first);
    observe_chunk_attention(layer, first, n - first - n_last, chunk_size_);
    observe_chunk_attention(layer, n - n_last, n_last, chunk_size_);
  }

  void score(const LayerView& layer, Scores& scores) override {
    EntryRanges ranges;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const std::int64_t n = layer.head(h).size();
      const std::int64_t begin = n_before(layer.head(h), sink_size_start_);
      ranges.push_back({begin, n - std::min(sink_size_end_, n - begin)});
    }
    Scores leverage = scores;
    leverage_.fill(layer, sketch_dimension_, ranges, leverage);
    fill_chunk_attention(layer, ranges, scores);
    const auto blending = static_cast<float>(blending_.value_or(layer.budget.ratio));
    float forced = 0;
    for (std::size_t h = 0; h < scores.size(); ++h) {
      const auto row = in_range(scores[h], ranges[h]);
      const auto other = in_range(leverage[h], ranges[h]);
      for (std::size_t j = 0; j < row.size(); ++j) {
        row[j] += blending * other[j];
        forced = std::max(forced, row[j]);
      }
    }
    for (std::size_t h = 0; h < scores.size(); ++h) {
      std::fill(scores[h].begin(), scores[h].begin() + ranges[h].begin, forced + 1);
      std::fill(scores[h].begin() + ranges[h].end, scores[h].end(), forced + 1);
    }
  }

 private:
  std::int64_t sink_size_start_ = 8;
  std::int64_t sink_size_end_ = 4;
  std::int64_t chunk_size_ = 256;
  std::int64_t sketch_dimension_ = 48;
  std::optional<double> blending_;
  LeverageScores leverage_;
};

}  // namespace

const PressEntry kCompactorPress = {
    "compactor",
    "keeps the tokens whose keys differ from the others or that their chunk attends to",
    "https://arxiv.org/abs/2507.08143",
    "keys before and after RoPE, values, all queries",
    make_press<Compactor>,
    "The sum of two scores that need no question: leverage, which finds keys that cannot be replaced by others, and "
    "attention within chunks without a causal mask. The higher the compression ratio, the more leverage counts.",
    "s_j = blending · leverage + non_causal_attention, each standardized over the layer without the sinks; blending is "
    "the compression ratio unless given; the first sink_size_start and the last sink_size_end are kept",
    "When later questions are unknown and the choice may take some time."};

}  // namespace kvpress
