// Text from a model under a press: greedy or sampled, token by token over the compressed cache.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "kvpress/eval/protocol.h"
#include "kvpress/model/model.h"
#include "kvpress/press/budget.h"
#include "kvpress/press/registry.h"

namespace kvpress {

struct GenerateSettings {
  std::int64_t max_new_tokens = 128;
  double temperature = 0;  ///< 0: always the likeliest token
  double top_p = 1;        ///< of the likeliest tokens, as many as make up this share
  std::int64_t top_k = 0;  ///< and no more than so many; 0: no limit
  bool ignore_eos = false;
  Budget budget;
  std::int64_t compression_interval = 0;    ///< compress again every so many tokens ...
  std::optional<std::int64_t> target_size;  ///< ... down to so many; without an interval, the prompt's budget
  Positions positions = Positions::text;
  CacheFormat cache_format = {};
  std::uint64_t seed = 0;
};

struct Generated {
  std::vector<std::int32_t> ids;
  double prefill_sec = 0;
  double compress_sec = 0;
  double decode_sec = 0;
  double cache_tokens = 0;  ///< at the end, mean over layers and heads
  std::size_t cache_bytes = 0;
  bool ended = false;  ///< by an end-of-text token, which is not among the ids
};

/// Called with each token as it comes.
using OnToken = std::function<void(std::int32_t)>;

/// The first token is predicted by the full prompt; the cache is compressed before the second. Throws UsageError for an
/// empty prompt.
Generated generate(const Model& model, std::span<const std::int32_t> prompt, const NamedPress& press,
                   const GenerateSettings& settings, const OnToken& on_token = {});

/// One draw from logits (which it overwrites). `draw` is uniform in [0, 1).
std::int32_t sample(std::span<float> logits, const GenerateSettings& settings, double draw);

}  // namespace kvpress
