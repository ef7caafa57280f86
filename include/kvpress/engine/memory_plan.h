// The memory that a model needs, computed before its weights are loaded.
#pragma once

#include <cstdint>

#include "kvpress/cache/cache_format.h"
#include "kvpress/model/config.h"

namespace kvpress {

/// All in bytes.
struct MemoryPlan {
  double weights = 0;
  double cache = 0;
  double activations = 0;
  double total() const { return weights + cache + activations; }
};

/// The plan for weights of weight_bytes (held_weight_bytes()), a cache of n_cached tokens in `cache_format`, and
/// forward passes over n_block tokens.
MemoryPlan plan_memory(const ModelConfig& config, double weight_bytes, const CacheFormat& cache_format,
                       std::int64_t n_block, std::int64_t n_cached);

/// Bytes that one more token adds to a cache of n_cached tokens: nothing in layers whose window is full.
double cache_bytes_per_token(const ModelConfig& config, const CacheFormat& format, std::int64_t n_cached);

/// Throws Error with the sizes if the plan needs more than `available` bytes.
void check_memory(const MemoryPlan& plan, double available);

}  // namespace kvpress
