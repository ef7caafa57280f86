// ChunkKV (https://arxiv.org/abs/2502.00299): neighbouring entries stay or go together. The entries are cut into chunks
// of chunk_length; a chunk is worth the mean of its scores, summed over the heads, and the best chunks stay whole.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "ops/topk.h"
#include "press/entries.h"
#include "press/kit/joint_choice.h"

namespace kvpress {
namespace {

class ChunkKV : public Wrapper<Selector<ChunkKV>> {
 public:
  ChunkKV() : Wrapper(InnerPress{"snapkv", kSnapKVPress.make()}) {}

  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the entries");
    visitor.integer("chunk_length", chunk_length_, 1, "neighbouring entries that are kept or evicted together");
  }

  Kept select(const LayerView& layer) override {
    if (layer.longest() < chunk_length_) return press_->select(layer);
    if (layer.fits()) return {};
    const BudgetView& budget = layer.budget;
    return choose_jointly(layer, scores_of(*press_, layer), [&](std::span<const float> scores) {
      const auto n = static_cast<std::int64_t>(scores.size());
      if (n < chunk_length_) return top_k(scores, budget.n_kept);
      // While nothing has gone yet, the share to keep is what was asked for; later, what the budget leaves of the rest.
      const double share = n == budget.n_seen
                               ? 1.0 - budget.ratio
                               : std::min(1.0, static_cast<double>(budget.n_kept) / static_cast<double>(n));
      return best_chunks(scores, share);
    });
  }

 private:
  /// The last chunk may be shorter. At least one stays.
  std::vector<std::int32_t> best_chunks(std::span<const float> scores, double share) const {
    const auto length = static_cast<std::size_t>(chunk_length_);
    std::vector<float> means;
    for (std::size_t begin = 0; begin < scores.size(); begin += length) {
      const auto chunk = scores.subspan(begin, std::min(length, scores.size() - begin));
      means.push_back(
          static_cast<float>(std::accumulate(chunk.begin(), chunk.end(), 0.0) / static_cast<double>(chunk.size())));
    }
    const auto n_kept = static_cast<std::int64_t>(static_cast<double>(means.size()) * share);
    std::vector<std::int32_t> kept;
    for (const std::int32_t chunk : top_k(means, std::max<std::int64_t>(1, n_kept))) {
      const std::size_t begin = static_cast<std::size_t>(chunk) * length;
      const std::size_t end = std::min(begin + length, scores.size());
      for (std::size_t i = begin; i < end; ++i) kept.push_back(static_cast<std::int32_t>(i));
    }
    return kept;
  }

  std::int64_t chunk_length_ = 20;
};

}  // namespace

const PressEntry kChunkKVPress = {
    "chunkkv",
    "keeps or drops whole chunks of neighbouring tokens, the same in all heads, by the scores of the inner press",
    "https://arxiv.org/abs/2502.00299",
    "needs of the inner press",
    make_press<ChunkKV>,
    "A token that is kept alone loses its phrase. Here neighbouring tokens are kept or evicted together, in all heads, "
    "so that the remaining text is readable.",
    "chunks of chunk_length entries, scored by the mean of Σ over heads of s_j; the best max(1, ⌊chunks × (1 - "
    "ratio)⌋) chunks are kept",
    "For prompts whose facts span several tokens, and for caches with the same tokens in all heads."};

}  // namespace kvpress
