// Blocks compressed as they come, as in KeyDiff (https://arxiv.org/abs/2504.15364): what is kept so far competes with
// the next block_size entries for n_kept places, block after block, until the end of the cache.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "ops/topk.h"
#include "press/entries.h"
#include "press/kit/layer_part.h"

namespace kvpress {
namespace {

class Block : public Wrapper<Selector<Block>> {
 public:
  Block() : Wrapper(InnerPress{"keydiff", kKeyDiffPress.make()}) {}

  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the kept entries and the next block");
    visitor.integer("block_size", block_size_, 1, "entries added before each selection");
  }
  PressNeeds needs() const override { return PressNeeds{.newest_block = true} + press_->needs(); }
  void prepare(const PressSetup& setup) override {
    if (press_->needs().accumulated_attention) {
      fail_usage(
          "press block: {} uses attention summed over the whole text; use a press that scores single blocks, such as "
          "keydiff",
          press_.text);
    }
    press_->prepare(setup);
  }

  Kept select(const LayerView& layer) override {
    if (layer.fits()) return {};
    const std::int64_t n_kept = layer.budget.n_kept;
    std::vector<KVHead> heads = empty_heads(layer);
    Kept kept(static_cast<std::size_t>(layer.n_kv_heads()));
    for (std::size_t h = 0; h < kept.size(); ++h) add_entries(layer, h, 0, n_kept, kept, heads);
    for (std::int64_t first = n_kept; first < layer.longest(); first += block_size_) {
      for (std::size_t h = 0; h < kept.size(); ++h) add_entries(layer, h, first, block_size_, kept, heads);
      LayerPart part(layer, heads);
      end_with_newest(layer, heads, part);
      const Scores scores = scores_of(*press_, part.view);
      for (std::size_t h = 0; h < kept.size(); ++h) {
        const auto best = top_k(scores[h], n_kept);
        heads[h].keep(best);
        for (std::size_t i = 0; i < best.size(); ++i) kept[h][i] = kept[h][best[i]];
        kept[h].resize(best.size());
      }
    }
    return kept;
  }

 private:
  /// At most n entries of a head, from `first` on.
  static void add_entries(const LayerView& layer, std::size_t h, std::int64_t first, std::int64_t n, Kept& kept,
                          std::vector<KVHead>& heads) {
    const KVHead& head = layer.head(static_cast<std::int64_t>(h));
    std::vector<std::int32_t> entries(static_cast<std::size_t>(std::clamp<std::int64_t>(head.size() - first, 0, n)));
    std::iota(entries.begin(), entries.end(), static_cast<std::int32_t>(first));
    heads[h].append(head, entries);
    kept[h].insert(kept[h].end(), entries.begin(), entries.end());
  }

  /// Lets the text end with the newest entry, so that the last queries are those that came with it: where all heads are
  /// as far, and the queries of the layer's block reach so far back. Else they are the layer's last.
  void end_with_newest(const LayerView& layer, const std::vector<KVHead>& heads, LayerPart& part) const {
    std::int32_t newest = -1;
    for (const KVHead& head : heads) {
      if (head.size() == 0 || (newest >= 0 && head.positions().back() != newest)) return;
      newest = head.positions().back();
    }
    const std::int64_t first_position = layer.block.first_position;
    if (newest < first_position) return;
    const std::int64_t first = std::max<std::int64_t>(first_position, newest + 1 - block_size_);
    part.cut(first, newest + 1, press_->needs().recent_queries, first_position);
  }

  std::int64_t block_size_ = 128;
};

}  // namespace

const PressEntry kBlockPress = {
    "block",
    "processes the cache block by block and keeps the best of the kept entries and the next block",
    "https://arxiv.org/abs/2504.15364",
    "keys, needs of the inner press",
    make_press<Block>,
    "A text that exceeds the memory is processed in blocks, each compressed before the next one arrives. This press "
    "makes the selections of such a run in a complete cache, with scores among few entries at a time.",
    "K = the first n_kept entries; for each next block B of block_size entries: K = the n_kept best of K ∪ B by s_j "
    "within K ∪ B",
    "To see, with one prefill, what a press would keep if the text arrived in blocks."};

}  // namespace kvpress
