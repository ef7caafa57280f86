// Text from a model: greedy or sampled, token by token over a sequence's cache.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "kvpress/engine/sequence.h"

namespace kvpress {

struct GenerateSettings {
  std::int64_t max_new_tokens = 128;
  double temperature = 0;  ///< 0: always the most likely token
  double top_p = 1;        ///< of the most likely tokens, as many as make up this share
  std::int64_t top_k = 0;  ///< and no more than so many; 0: no limit
  bool ignore_eos = false;
  bool eos_may_come_first = true;  ///< false: a first token never ends the text, as in kvpress's pipeline
  std::uint64_t seed = 0;
};
/// Throws UsageError naming the setting that makes no sense.
void check_settings(const GenerateSettings& settings);

struct Generated {
  std::vector<std::int32_t> ids;
  std::optional<std::int32_t> end;  ///< the end-of-text token that ended it, which is not among the ids
  double seconds = 0;               ///< for all of it: passes, presses, logits and sampling
};

/// Called with each token as it comes.
using OnToken = std::function<void(std::int32_t)>;

/// Continues a sequence, which must hold at least one token; switches it to decoding. The last token is not appended to
/// the sequence.
Generated generate(Sequence& sequence, const GenerateSettings& settings, const OnToken& on_token = {});

/// One draw from logits (which it overwrites). `draw` is uniform in [0, 1).
std::int32_t sample(std::span<float> logits, const GenerateSettings& settings, double draw);

}  // namespace kvpress
