// Measures the speed of prefill, decode and attention on random tokens, with and without a press.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/engine/compression_settings.h"
#include "kvpress/model/model.h"

namespace kvpress {

struct PrefillSpeed {
  std::int64_t n_tokens = 0;
  double prefill_sec = 0;   ///< forward pass without the press; median of the repeats
  double compress_sec = 0;  ///< the press
  double loss_sec = 0;      ///< output product and loss of all tokens, on request
};

/// Each repeat has a new cache and press. An unmeasured repeat comes first.
PrefillSpeed measure_prefill(const Model& model, std::int64_t n_tokens, const CompressionSettings& settings,
                             bool with_loss, int repeats);

struct DecodeSpeed {
  std::int64_t depth = 0;       ///< tokens seen before decoding
  double cache_tokens = 0;      ///< in the cache, mean over layers and KV heads
  std::size_t cache_bytes = 0;  ///< of one sequence
  int batch = 1;                ///< sequences decoded together
  double seconds_per_pass = 0;  ///< one token of each sequence, with the output product; median
  double tokens_per_second() const { return batch / seconds_per_pass; }
};

/// Prefills `batch` sequences with `depth` tokens each, compresses, and decodes n_tokens of each greedily, with one
/// pass for all sequences.
DecodeSpeed measure_decode(const Model& model, std::int64_t depth, const CompressionSettings& settings,
                           std::int64_t n_tokens, int batch = 1);

/// The time of the attention of one token over all layers, with random keys and values.
struct AttentionSpeed {
  double cache_tokens = 0;  ///< mean over layers and KV heads
  double seconds = 0;       ///< median
};

/// The cache has `depth` tokens, of which a share of `ratio` is evicted. All heads keep the same number of tokens or,
/// if ragged, between 1/5 and 9/5 of it with the same sum.
AttentionSpeed measure_attention(const Model& model, std::int64_t depth, double ratio, bool ragged,
                                 const CacheFormat& cache_format, int repeats);

}  // namespace kvpress
