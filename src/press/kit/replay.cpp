#include "press/kit/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kvpress/model/model.h"
#include "model/attention_args.h"

namespace kvpress {
namespace {

class ReplayListener : public AttentionListener {
 public:
  ReplayListener(std::vector<std::int64_t> layers, bool log_sum_exp,
                 const std::function<void(const AttentionBlock&)>& body)
      : layers_(std::move(layers)), log_sum_exp_(log_sum_exp), body_(body) {}

  bool wants_log_sum_exp() const override { return log_sum_exp_; }
  void after_attention(const AttentionBlock& block) override {
    if (std::binary_search(layers_.begin(), layers_.end(), block.layer)) body_(block);
    for (std::int64_t h = 0; h < block.config.n_kv_heads; ++h) {
      block.cache.truncate(block.layer, h, block.cache.head(block.layer, h).size() - block.n_new);
    }
  }

 private:
  std::vector<std::int64_t> layers_;
  bool log_sum_exp_;
  const std::function<void(const AttentionBlock&)>& body_;
};

}  // namespace

void replay(const ContextView& context, std::span<const std::int32_t> tokens, bool log_sum_exp,
            const std::function<void(const AttentionBlock&)>& body) {
  const ModelConfig& config = context.model.config();
  const std::int64_t end = context.budget.n_seen + std::ssize(tokens);
  if (config.learned_positions > 0 && end > config.max_positions) {
    throw PressError(fmt::format(
        "a second pass over the text takes {} positions, and the model has learned {}; use a shorter text, or a press "
        "without a second pass",
        end, config.max_positions));
  }
  ReplayListener listener(context.layers(), log_sum_exp, body);
  context.model.forward({tokens, context.budget.n_seen, context.cache, &listener, {}, true});
}

AttentionArgs attention_over(const AttentionBlock& block, std::span<const KVHead* const> heads, bool per_query_head,
                             float* log_sum_exp, std::vector<HeadKV>& kv) {
  kv.clear();
  for (const KVHead* head : heads) {
    const std::int64_t times = per_query_head ? block.config.group_size() : 1;
    kv.insert(kv.end(), static_cast<std::size_t>(times), head->view());
  }
  return attention_args(block.config, block.layer, block.queries.data, block.n_new, kv, block.cache.shape().format.type,
                        log_sum_exp);
}

std::int64_t first_entry_from(const KVHead& head, std::int64_t position) {
  const auto positions = head.positions();
  return std::lower_bound(positions.begin(), positions.end(), position) - positions.begin();
}

}  // namespace kvpress
