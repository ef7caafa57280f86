// Non-causal attention in chunks (one part of Compactor, https://arxiv.org/abs/2507.08143): tokens that their chunk,
// what comes before them as well as after, attends to stay.
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/chunk_attention.h"

namespace kvpress {
namespace {

class NonCausalAttention : public Scorer<NonCausalAttention> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.integer("chunk_size", chunk_size_, 1, "tokens of a chunk, which attend to each other");
  }
  PressNeeds needs() const override { return {.every_block = true, .n_carried = 1}; }

  void observe(const LayerView& layer) override { observe_chunk_attention(layer, 0, layer.block.n_new, chunk_size_); }

  void score(const LayerView& layer, Scores& scores) override {
    fill_chunk_attention(layer, all_entries(layer), scores);
  }

 private:
  std::int64_t chunk_size_ = 256;
};

}  // namespace

const PressEntry kNonCausalAttentionPress = {
    "non_causal_attention",
    "keeps the tokens that all queries of their chunk attend to",
    "https://arxiv.org/abs/2507.08143",
    "keys, values, all queries",
    make_press<NonCausalAttention>,
    "Causal attention favours early tokens, since more queries see them. Here every query of a chunk attends to every "
    "key of the chunk, so that all tokens are compared on equal terms, at a cost linear in the text length.",
    "s_j = ‖v_j‖ · sum over the queries of j's chunk of softmax over the chunk of q·k_j, mean over the group, averaged "
    "over 3 neighbours, standardized over the layer",
    "When later questions are unknown and attention should count; compactor combines it with leverage."};

}  // namespace kvpress
