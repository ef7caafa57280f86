// KVzip (https://arxiv.org/abs/2505.23416) and KVzip+ (https://arxiv.org/abs/2601.07891): what the model looks at when
// it repeats the text serves any question about it.
#include "kvpress/press/entries.h"
#include "kvpress/press/global_selection.h"
#include "kvpress/press/kvzip_scores.h"
#include "kvpress/press/parameters.h"

namespace kvpress {
namespace {

template <bool kPlus>
class KVzip : public ContextPress<KVzip<kPlus>> {
 public:
  KVzip() { scores_.normalized = kPlus; }

  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.flag("layerwise", layerwise_, "every layer keeps equally many; else all layers share one budget");
    visitor.integer("n_sink", scores_.n_sink, 0, "first tokens that always stay");
    if (!kPlus) visitor.flag("kvzip_plus_normalization", scores_.normalized, "weigh as kvzip_plus does");
    visitor.integer("chunk_size", scores_.chunk_size, 1, "tokens repeated at a time");
  }
  PressNeeds needs() const override { return {.n_carried = 1}; }
  void prepare(const PressSetup& setup) override { scores_.prepare(setup); }

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
    "keeps what the model looks at when it repeats the text, over all layers and heads",
    "https://arxiv.org/abs/2505.23416",
    "a second pass over the text",
    make_press<KVzip<false>>,
    "What a model needs to write the text down again is enough for any question about it. The model is asked to repeat "
    "the text over its full cache, and the entries it looks at most, of all layers and heads together, stay.",
    "s_j = the largest softmax weight at j of any query of the repetition and of the group; the softmax runs over the "
    "first n_sink tokens, the chunk that is repeated, and the repetition itself",
    "When one long text is compressed once and asked about often: compressing costs a second prefill."};

const PressEntry kKVzipPlusPress = {
    "kvzip_plus",
    "as kvzip, with attention weighed by what it adds to the residual stream",
    "https://arxiv.org/abs/2601.07891",
    "a second pass over the text, output weights",
    make_press<KVzip<true>>,
    "A weight counts for little where the value it brings is small beside what is already there. Each weight is "
    "measured by what it adds to the residual stream, relative to the input of the layer.",
    "as kvzip, each weight divided by ‖h‖ of the query's token and multiplied by ‖W_o v_j‖",
    "As kvzip; the better of the two in the authors' tests."};

}  // namespace kvpress
