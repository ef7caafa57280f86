// ChunkKV (https://arxiv.org/abs/2502.00299) with a gate, as kvpress 0.5.5 has it: a good chunk whose worth comes from
// a few of its tokens keeps only those, and what that saves goes to further chunks. "Comes from a few" is told by the
// entropy of the scores within the chunk. The budget is met exactly.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "ops/topk.h"
#include "press/entries.h"
#include "press/kit/joint_choice.h"

namespace kvpress {
namespace {

/// The entropy of the scores taken as weights, divided by that of equal weights: in [0, 1]. Scores of which some are
/// negative are raised until the least is 0.
float normalized_entropy(std::span<const float> scores) {
  if (scores.size() == 1) return 0;
  constexpr float kEpsilon = 1e-8f;
  const float shift = std::min(0.0f, *std::min_element(scores.begin(), scores.end()));
  float sum = kEpsilon;
  for (const float score : scores) sum += score - shift;
  float entropy = 0;
  for (const float score : scores) {
    const float p = (score - shift) / sum;
    entropy -= p * std::log(p + kEpsilon);
  }
  return std::clamp(entropy / std::log(static_cast<float>(scores.size())), 0.0f, 1.0f);
}

/// The lower one of the two in the middle, if there are two.
float median(std::vector<float> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class EntropyGatedChunkKV : public Wrapper<Selector<EntropyGatedChunkKV>> {
 public:
  EntropyGatedChunkKV() : Wrapper(InnerPress{"snapkv", kSnapKVPress.make()}) {}

  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the entries");
    visitor.integer("chunk_length", chunk_length_, 2, "neighbouring entries that are kept or evicted together");
    visitor.integer("low_entropy_chunk_length", low_entropy_chunk_length_, 1,
                    "kept entries of a good chunk with uneven scores; less than chunk_length");
  }
  void prepare(const PressSetup& setup) override {
    if (low_entropy_chunk_length_ >= chunk_length_) {
      fail_usage("press entropy_gated_chunkkv: low_entropy_chunk_length={} is not below chunk_length={}",
                 low_entropy_chunk_length_, chunk_length_);
    }
    press_->prepare(setup);
  }

  Kept select(const LayerView& layer) override {
    if (layer.fits()) return {};
    return choose_jointly(layer, scores_of(*press_, layer),
                          [&](std::span<const float> scores) { return choose(scores, layer.budget.n_kept); });
  }

 private:
  std::vector<std::int32_t> choose(std::span<const float> scores, std::int64_t budget) const {
    const auto length = static_cast<std::size_t>(chunk_length_);
    std::vector<std::span<const float>> chunks;
    std::vector<float> means;
    std::vector<float> entropies;
    for (std::size_t begin = 0; begin < scores.size(); begin += length) {
      const auto chunk = scores.subspan(begin, std::min(length, scores.size() - begin));
      chunks.push_back(chunk);
      means.push_back(std::accumulate(chunk.begin(), chunk.end(), 0.0f) / static_cast<float>(chunk.size()));
      entropies.push_back(normalized_entropy(chunk));
    }
    const float good = median(means);
    const float even = median(entropies);

    std::vector<std::size_t> order(chunks.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return means[a] != means[b] ? means[a] > means[b] : a > b;  // of equal ones the more recent first
    });
    std::vector<bool> stays(scores.size(), false);
    for (const std::size_t chunk : order) {
      if (budget <= 0) break;
      std::int64_t n = std::min(static_cast<std::int64_t>(chunks[chunk].size()), budget);
      if (means[chunk] >= good && entropies[chunk] < even) n = std::min(n, low_entropy_chunk_length_);
      for (const std::int32_t i : top_k(chunks[chunk], n)) stays[chunk * length + static_cast<std::size_t>(i)] = true;
      budget -= n;
    }
    if (budget > 0) spend(scores, budget, stays);

    std::vector<std::int32_t> kept;
    for (std::size_t i = 0; i < stays.size(); ++i) {
      if (stays[i]) kept.push_back(static_cast<std::int32_t>(i));
    }
    return kept;
  }

  /// What is left of the budget goes to the best entries left, whatever their chunk.
  static void spend(std::span<const float> scores, std::int64_t budget, std::vector<bool>& stays) {
    std::vector<std::size_t> left;
    AlignedVector<float> left_scores;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (stays[i]) continue;
      left.push_back(i);
      left_scores.push_back(scores[i]);
    }
    for (const std::int32_t i : top_k(left_scores, budget)) stays[left[i]] = true;
  }

  std::int64_t chunk_length_ = 10;
  std::int64_t low_entropy_chunk_length_ = 4;
};

}  // namespace

const PressEntry kEntropyGatedChunkKVPress = {
    "entropy_gated_chunkkv",
    "chunkkv, but keeps only the best tokens of chunks in which a few tokens have most of the score",
    "https://arxiv.org/abs/2502.00299",
    "needs of the inner press",
    make_press<EntropyGatedChunkKV>,
    "A chunk with a single good token costs its whole length. Chunks with even scores (high entropy) are kept whole; "
    "good chunks with uneven scores keep only their best tokens, and further chunks use the rest of the budget.",
    "chunks by descending mean of Σ over heads of s_j until the budget is used; of chunks with mean ≥ median and "
    "entropy < median only the low_entropy_chunk_length best entries; a remainder goes to the best entries left",
    "Instead of chunkkv if the budget must be met exactly."};

}  // namespace kvpress
