// Chunks compressed one by one, as in FINCH (https://direct.mit.edu/tacl/article/doi/10.1162/tacl_a_00716/125280): each
// stretch of chunk_length tokens is scored as if it were the whole text, and keeps the same share of its entries.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/press_state.h"
#include "ops/topk.h"
#include "press/entries.h"
#include "press/kit/layer_part.h"

namespace kvpress {
namespace {

class Chunk : public Wrapper<Selector<Chunk>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores each chunk");
    visitor.integer("chunk_length", chunk_length_, 1, "tokens of a chunk");
  }
  PressNeeds needs() const override { return PressNeeds{.newest_block = true} + press_->needs(); }
  void prepare(const PressSetup& setup) override {
    if (press_->needs().accumulated_attention) {
      fail_usage(
          "press chunk: {} uses attention summed over the whole text; use a press that scores single chunks, such as "
          "snapkv",
          press_.text);
    }
    press_->prepare(setup);
  }
  void observe(const LayerView& layer) override { whole().observe(layer); }

  void visit_state(StateVisitor& visitor) override {
    visitor.layers(chunked_, [&](std::int64_t& n) { visitor.integer(n, 0, visitor.n_tokens()); });
    std::int64_t has_whole = whole_ ? 1 : 0;
    visitor.integer(has_whole, 0, 1);
    if (has_whole == 1) visitor.press(whole());
  }

  Kept select(const LayerView& layer) override {
    if (layer.fits()) return {};
    const auto l = static_cast<std::size_t>(layer.block.layer);
    if (chunked_.size() <= l) chunked_.resize(l + 1, 0);
    // Only what came since the last time is cut into chunks: of what came before, each chunk has its share already.
    const std::int64_t first = std::exchange(chunked_[l], layer.budget.n_seen);
    const bool in_one_block = first >= layer.block.first_position;
    Scores global;
    if (!in_one_block) global = scores_of(whole(), layer);

    Kept kept(static_cast<std::size_t>(layer.n_kv_heads()));
    for (std::size_t h = 0; h < kept.size(); ++h) {
      kept[h] = entries_between(layer.head(static_cast<std::int64_t>(h)), 0, first);
    }
    for (std::int64_t begin = first; begin < layer.budget.n_seen; begin += chunk_length_) {
      const std::int64_t end = std::min(begin + chunk_length_, layer.budget.n_seen);
      if (in_one_block) {
        keep_by_itself(layer, begin, end, kept);
      } else {
        keep_by(global, layer, begin, end, kept);
      }
    }
    for (std::size_t h = 0; h < kept.size(); ++h) {
      if (static_cast<std::int64_t>(kept[h].size()) <= layer.budget.n_kept) continue;
      if (global.empty()) global = scores_of(whole(), layer);
      kept[h] = best_of(kept[h], global[h], layer.budget.n_kept);
    }
    return kept;
  }

 private:
  /// The press that is shown the whole text. The one inside is only ever copied: a chunk's copy shall know nothing
  /// else.
  Press& whole() {
    if (!whole_) whole_ = press_;
    return *whole_;
  }

  static std::vector<std::int32_t> entries_between(const KVHead& head, std::int64_t begin, std::int64_t end) {
    const auto positions = head.positions();
    const auto from = std::lower_bound(positions.begin(), positions.end(), begin);
    const auto to = std::lower_bound(from, positions.end(), end);
    std::vector<std::int32_t> entries(static_cast<std::size_t>(to - from));
    std::iota(entries.begin(), entries.end(), static_cast<std::int32_t>(from - positions.begin()));
    return entries;
  }

  static std::vector<std::int32_t> best_of(const std::vector<std::int32_t>& entries, const AlignedVector<float>& scores,
                                           std::int64_t n) {
    AlignedVector<float> worth;
    for (const std::int32_t i : entries) worth.push_back(scores[i]);
    std::vector<std::int32_t> best;
    for (const std::int32_t i : top_k(worth, n)) best.push_back(entries[i]);
    return best;
  }

  /// Entries to keep of n tokens of text, however many of them are still held.
  static std::int64_t share(std::int64_t n, double ratio) {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(n) * (1 - ratio)));
  }

  /// The chunk's entries, scored by a copy of the press that sees nothing else.
  void keep_by_itself(const LayerView& layer, std::int64_t begin, std::int64_t end, Kept& kept) {
    std::vector<KVHead> heads = empty_heads(layer);
    LayerPart part(layer, heads);
    const PressNeeds needs = press_->needs();
    part.cut(begin, end, needs.recent_queries, begin);
    part.view.budget.n_kept = share(end - begin, layer.budget.ratio);
    Kept entries;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      entries.push_back(entries_between(layer.head(h), begin, end));
      heads[h].append(layer.head(h), entries.back());
    }
    const auto press = press_->clone();
    if (needs.every_block) press->observe(part.view);
    const Scores scores = scores_of(*press, part.view);
    for (std::size_t h = 0; h < kept.size(); ++h) {
      for (const std::int32_t i : top_k(scores[h], part.view.budget.n_kept)) {
        kept[h].push_back(entries[h][i]);
      }
    }
  }

  static void keep_by(const Scores& scores, const LayerView& layer, std::int64_t begin, std::int64_t end, Kept& kept) {
    for (std::size_t h = 0; h < kept.size(); ++h) {
      const auto entries = entries_between(layer.head(static_cast<std::int64_t>(h)), begin, end);
      const auto best = best_of(entries, scores[h], share(end - begin, layer.budget.ratio));
      kept[h].insert(kept[h].end(), best.begin(), best.end());
    }
  }

  InnerPress whole_;
  std::int64_t chunk_length_ = 1024;
  std::vector<std::int64_t> chunked_;  // of each layer, the positions before this one
};

}  // namespace

const PressEntry kChunkPress = {
    "chunk",
    "compresses each chunk of chunk_length tokens separately with the inner press",
    "https://direct.mit.edu/tacl/article/doi/10.1162/tacl_a_00716/125280",
    "needs of the inner press",
    make_press<Chunk>,
    "A selection over the whole text may empty long parts of it. Here each chunk is scored as if it were the whole "
    "text, with its own queries, and keeps the same share, so that every part of the text is represented.",
    "of each chunk of n tokens the max(1, ⌊n × (1 - ratio)⌋) best s_j, scored within the chunk",
    "For long texts if questions may refer to any part."};

}  // namespace kvpress
