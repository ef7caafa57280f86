// Text generation: greedy or sampled decode of a sequence.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "kvpress/engine/sequence.h"

namespace kvpress {

struct GenerateSettings {
  std::int64_t max_new_tokens = 128;
  double temperature = 0;  ///< 0: greedy, the most likely token
  double top_p = 1;        ///< nucleus: the most likely tokens up to this share of the probability that top_k leaves
  std::int64_t top_k = 0;  ///< at most this many tokens, the most likely; applied before top_p; 0: no limit
  double min_p = 0;        ///< only tokens at least this share as likely as the likeliest; applied after top_p; 0: all
  double presence_penalty = 0;   ///< subtracted from the logits of tokens that were generated before
  double frequency_penalty = 0;  ///< the same, times how often
  std::vector<std::pair<std::int32_t, float>> logit_bias = {};  ///< token, and what is added to its logit
  bool ignore_eos = false;
  bool begins_decoding = true;     ///< false: the answer is part of the prefill, whose press goes on to see it
  bool eos_may_come_first = true;  ///< false: the first token never ends the text, as in kvpress
  std::uint64_t seed = 0;
};
/// Throws UsageError that names the invalid setting.
void check_settings(const GenerateSettings& settings);

struct Generated {
  std::vector<std::int32_t> ids;
  std::optional<std::int32_t> end;  ///< the end-of-text token, if one came; not in ids
  double seconds = 0;               ///< of passes, presses, logits and sampling
};

/// Called with each new token, before it is appended.
using OnToken = std::function<void(std::int32_t)>;

/// Continues a sequence that has at least one token. Calls begin_decoding(), unless told not to. The last token is
/// returned but not appended to the sequence. Throws as Sequence::append().
Generated generate(Sequence& sequence, const GenerateSettings& settings, const OnToken& on_token = {});

/// Samples a token from logits, [vocab_size], which are overwritten. `draw` is a uniform number in [0, 1). Uses
/// temperature, top_k, top_p and min_p alone.
std::int32_t sample(std::span<float> logits, const GenerateSettings& settings, double draw);

/// Chooses the tokens of one text, one after the other: bias, penalties, then sample() with random numbers of the seed.
class Sampler {
 public:
  explicit Sampler(GenerateSettings settings);
  /// The next token, from logits [vocab_size]. It counts as generated. Biases of tokens outside the vocabulary are
  /// ignored.
  std::int32_t next(std::span<const float> logits);

 private:
  GenerateSettings settings_;
  std::mt19937_64 random_;
  std::uniform_real_distribution<double> uniform_{0.0, 1.0};
  std::map<std::int32_t, std::int64_t> counts_;  // of generated tokens, where a penalty needs them
  std::vector<float> logits_;
};

}  // namespace kvpress
