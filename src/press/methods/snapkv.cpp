// SnapKV (https://arxiv.org/abs/2404.14469): the attention that the last window_size queries pay to the tokens before
// them, smoothed over neighbours; the window itself stays.
#include "press/entries.h"
#include "press/kit/snapkv_scores.h"

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
    "keeps the tokens that the last window of queries attends to, smoothed over neighbours",
    "https://arxiv.org/abs/2404.14469",
    "keys, the last window_size queries",
    make_press<SnapKV>,
    "The queries at the end of a prompt show what the answer will attend to. Their attention, smoothed so that "
    "neighbours of a match are kept too, selects the tokens of each head.",
    "s_j = softmax weight at j, mean over the last window_size queries, averaged over kernel_size neighbours, mean "
    "over the group; the window is kept",
    "For prompts that end with the question."};

}  // namespace kvpress
