// Speed: prefill and decoding of a model, with and without a press, on random tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/model/model.h"
#include "kvpress/press/registry.h"

namespace kvpress {

struct PrefillSpeed {
  std::int64_t n_tokens = 0;
  double prefill_sec = 0;   ///< forward pass without the press; medians of the repeats
  double compress_sec = 0;  ///< the press
  double loss_sec = 0;      ///< output product and loss of every token, when asked for
};

/// Each repeat has a fresh cache and press; one more goes first, unmeasured.
PrefillSpeed measure_prefill(const Model& model, std::int64_t n_tokens, const NamedPress& press, double ratio,
                             const CacheFormat& cache_format, bool with_loss, int repeats);

struct DecodeSpeed {
  std::int64_t depth = 0;   ///< tokens seen before decoding
  double cache_tokens = 0;  ///< that the cache held of them
  std::size_t cache_bytes = 0;
  double seconds_per_token = 0;  ///< with the output product; median over the tokens
};

/// Fills the cache with `depth` tokens, compresses, then decodes n_tokens greedily.
DecodeSpeed measure_decode(const Model& model, std::int64_t depth, const NamedPress& press, double ratio,
                           const CacheFormat& cache_format, std::int64_t n_tokens);

/// Attention alone, of one token over all layers, over caches of random keys and values.
struct AttentionSpeed {
  double cache_tokens = 0;  ///< mean over layers and KV heads
  double seconds = 0;       ///< median
};

/// A cache of `depth` tokens of which a share of `ratio` was evicted: the same number in every head or, when ragged,
/// anything between a fifth and nine fifths of it, with the same sum.
AttentionSpeed measure_attention(const Model& model, std::int64_t depth, double ratio, bool ragged,
                                 const CacheFormat& cache_format, int repeats);

}  // namespace kvpress
