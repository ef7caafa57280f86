// KVzip (https://arxiv.org/abs/2505.23416) and KVzip+ (https://arxiv.org/abs/2601.07891): what the model looks at when
// it repeats the text serves any question about it.
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/global_selection.h"
#include "press/kit/kvzip_scores.h"

namespace kvpress {
namespace {

template <bool kPlus>
class KVzip : public ContextPress<KVzip<kPlus>> {
 public:
  KVzip() { scores_.normalized = kPlus; }

  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.flag("layerwise", layerwise_, "every layer keeps the same number; otherwise all layers share one budget");
    visitor.integer("n_sink", scores_.n_sink, 0, "first tokens that are always kept");
    if (!kPlus) visitor.flag("kvzip_plus_normalization", scores_.normalized, "normalize as kvzip_plus does");
    visitor.integer("chunk_size", scores_.chunk_size, 1, "tokens repeated at a time");
  }
  PressNeeds needs() const override { return {.n_carried = 1}; }
  void prepare(const PressSetup& setup) override { scores_.prepare(setup); }
  void visit_state(StateVisitor& visitor) override { scores_.visit_state(visitor); }

  void compress_context(const ContextView& context) override {
    scores_.update(context);
    keep_best(context, scores_.with_sinks_safe(context), layerwise_);
  }

 private:
  KVzipScores scores_;
  bool layerwise_ = false;
};

}  // namespace

const PressEntry kKVzipPress = {
    "kvzip",
    "keeps the entries that the model attends to when it repeats the text, over all layers and heads",
    "https://arxiv.org/abs/2505.23416",
    "a second pass over the text",
    make_press<KVzip<false>>,
    "The entries that a model needs to repeat the text suffice for any question about it. The model repeats the text "
    "over its full cache, and the entries with the most attention are kept, over all layers and heads together.",
    "s_j = the largest softmax weight at j of any query of the repetition and of the group; the softmax runs over the "
    "first n_sink tokens, the repeated chunk, and the repetition itself",
    "If one long text is compressed once and used for many questions: compression costs a second prefill."};

const PressEntry kKVzipPlusPress = {
    "kvzip_plus",
    "as kvzip, with attention weighted by its contribution to the residual stream",
    "https://arxiv.org/abs/2601.07891",
    "a second pass over the text, output weights",
    make_press<KVzip<true>>,
    "An attention weight matters little if its value is small relative to the residual stream. Each weight is scaled "
    "by what it adds to the residual stream, relative to the input of the layer.",
    "as kvzip, each weight divided by ‖h‖ of the query's token and multiplied by ‖W_o v_j‖",
    "As kvzip; better than kvzip in the authors' tests."};

}  // namespace kvpress
