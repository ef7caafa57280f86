#include "serve/warm_up.h"

#include <algorithm>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/engine/sequence.h"
#include "serve/logprobs.h"

namespace kvpress::serve {
namespace {

/// Stacks and texts of connections, and what a heap keeps of what was given back.
constexpr std::size_t kBeside = std::size_t{64} << 20;

}  // namespace

std::size_t warm_up(const Model& model, const SchedulerSettings& settings) {
  const ModelConfig& config = model.config();
  CompressionSettings full;
  full.cache_format = CacheFormat(model.dtype());
  const std::int64_t n = std::max<std::int64_t>(1, std::min(settings.chunk, config.max_positions / 2));
  const std::vector<std::int32_t> tokens(static_cast<std::size_t>(n), 0);
  AlignedVector<float> hidden(static_cast<std::size_t>(n * config.hidden_size));
  const Matrix<float> states(hidden.data(), n, config.hidden_size);
  Sequence sequence(model, full);
  sequence.append(tokens, states);
  score_tokens(model, states, tokens, 1);
  std::vector<Sequence> sequences;
  std::vector<SequenceBatch::Item> items;
  sequences.reserve(static_cast<std::size_t>(settings.max_sequences));
  for (int i = 0; i < settings.max_sequences; ++i) {
    sequences.emplace_back(model, full);
    items.push_back({sequences.back(), {tokens.data(), 1}});
  }
  SequenceBatch batch;
  batch.append(items);
  AlignedVector<float> logits(static_cast<std::size_t>(settings.max_sequences * config.vocab_size));
  std::fill(logits.begin(), logits.end(), 0.0f);
  return std::max(resident_bytes(), model.weight_bytes()) + kBeside;
}

}  // namespace kvpress::serve
