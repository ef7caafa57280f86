// SnapKV (https://arxiv.org/abs/2404.14469): the attention that the last window_size queries pay to the tokens before
// them, smoothed over neighbours; the window itself stays.
#include "kvpress/press/entries.h"
#include "kvpress/press/snapkv_scores.h"

namespace kvpress {
namespace {

class SnapKV : public Scorer<SnapKV> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override { scores_.visit_parameters(visitor); }
  PressNeeds needs() const override { return {.recent_queries = scores_.window_size()}; }
  void score(const LayerView& layer, Scores& scores) override { scores_.fill(layer, scores); }

 private:
  SnapKVScores scores_;
};

}  // namespace

const PressEntry kSnapKVPress = {
    "snapkv",
    "keeps what the last window of queries attends to, smoothed over neighbours",
    "https://arxiv.org/abs/2404.14469",
    "keys, the last window_size queries",
    make_press<SnapKV>,
    "The queries at the end of a prompt show what the answer will look at. Their attention, smoothed so that "
    "neighbours of a match come along, picks the tokens of each head.",
    "s_j = mean over the last window_size queries of their softmax weight at j, averaged over kernel_size neighbours, "
    "mean over the group; the window stays",
    "For prompts that end with the question."};

}  // namespace kvpress
