// Speed: prefill and decoding of a model, with and without a press, on random tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/engine/compression_settings.h"
#include "kvpress/model/model.h"

namespace kvpress {

struct PrefillSpeed {
  std::int64_t n_tokens = 0;
  double prefill_sec = 0;   ///< forward pass without the press; medians of the repeats
  double compress_sec = 0;  ///< the press
  double loss_sec = 0;      ///< output product and loss of every token, when asked for
};

/// Each repeat has a fresh cache and press; one more goes first, unmeasured.
PrefillSpeed measure_prefill(const Model& model, std::int64_t n_tokens, const CompressionSettings& settings,
                             bool with_loss, int repeats);

struct DecodeSpeed {
  std::int64_t depth = 0;       ///< tokens seen before decoding
  double cache_tokens = 0;      ///< that a cache held of them
  std::size_t cache_bytes = 0;  ///< of one sequence
  int batch = 1;                ///< sequences that are decoded together
  double seconds_per_pass = 0;  ///< a token of each sequence, with the output product; median over the passes
  double tokens_per_second() const { return batch / seconds_per_pass; }
};

/// Fills the caches of `batch` sequences with `depth` tokens each, compresses, then decodes n_tokens of each greedily,
/// all sequences in one pass.
DecodeSpeed measure_decode(const Model& model, std::int64_t depth, const CompressionSettings& settings,
                           std::int64_t n_tokens, int batch = 1);

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
