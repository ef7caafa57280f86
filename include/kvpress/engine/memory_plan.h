// Will it fit? Asked before weights are loaded.
#pragma once

#include <cstdint>

#include "kvpress/cache/cache_format.h"
#include "kvpress/model/config.h"

namespace kvpress {

struct MemoryPlan {
  double weights = 0;  ///< bytes
  double cache = 0;
  double activations = 0;
  double total() const { return weights + cache + activations; }
};

/// For weights of so many bytes (held_weight_bytes()), a cache of `cache_format`, and forward passes over `n_block`
/// tokens at once with `n_cached` in the cache.
MemoryPlan plan_memory(const ModelConfig& config, double weight_bytes, const CacheFormat& cache_format,
                       std::int64_t n_block, std::int64_t n_cached);

/// Throws Error with the numbers when more is needed than `available` bytes.
void check_memory(const MemoryPlan& plan, double available);

}  // namespace kvpress
