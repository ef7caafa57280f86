// StreamingLLM (https://arxiv.org/abs/2309.17453): the first n_sink tokens, which every query attends to, and the most
// recent ones.
#include <algorithm>

#include "kvpress/press/parameters.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class StreamingLlm : public Scorer<StreamingLlm> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.integer("n_sink", n_sink_, 0, "first tokens that are always kept");
  }

  /// 1 for what stays, 0 for the gap after the sinks.
  void score(const LayerView& layer, Scores& scores) override {
    for (auto& row : scores) {
      const auto n = static_cast<std::int64_t>(row.size());
      const std::int64_t n_kept = std::min(n, layer.budget.n_kept);
      const std::int64_t sinks = std::min(n_sink_, n_kept);
      std::fill(row.begin(), row.end(), 0.0f);
      std::fill_n(row.begin(), sinks, 1.0f);
      std::fill_n(row.end() - (n_kept - sinks), n_kept - sinks, 1.0f);
    }
  }

 private:
  std::int64_t n_sink_ = 4;
};

}  // namespace

const PressEntry kStreamingLlmPress = {
    "streaming_llm",
    "keeps the first n_sink tokens and the most recent ones",
    "https://arxiv.org/abs/2309.17453",
    "positions",
    make_press<StreamingLlm>,
    "The first tokens of a text receive much of the attention, whatever they are, and without them attention degrades. "
    "Of the other tokens, the most recent matter most; those between are dropped.",
    "s_j = 1 for j < n_sink and the most recent tokens, else 0",
    "For endless text where distant content may be forgotten; not for retrieval from a long text."};

}  // namespace kvpress
