#include "kvpress/engine/memory_plan.h"

#include <algorithm>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/cache/kv_cache.h"

namespace kvpress {

namespace {

double layer_bytes_per_token(const ModelConfig& config, const CacheFormat& format) {
  return static_cast<double>(KVCache::bytes_per_token({1, config.n_kv_heads, config.head_dim, format, false}));
}

/// What a layer holds of n_cached tokens between passes. What a window has left behind waits to be dropped, no more
/// than 63 entries of it, and of a quantized group the rest waits as well.
std::int64_t entries_held(const LayerSpec& layer, const CacheFormat& format, std::int64_t n_cached) {
  if (layer.window == 0) return n_cached;
  const std::int64_t waiting = 63 + (format.bits > 0 ? kKVGroup - 1 : 0);
  return std::min(n_cached, layer.window + waiting);
}

}  // namespace

double cache_bytes_per_token(const ModelConfig& config, const CacheFormat& format, std::int64_t n_cached) {
  const auto grows = [&](const LayerSpec& it) { return it.window == 0 || it.window > n_cached; };
  return layer_bytes_per_token(config, format) *
         static_cast<double>(std::count_if(config.layers.begin(), config.layers.end(), grows));
}

MemoryPlan plan_memory(const ModelConfig& config, double weight_bytes, const CacheFormat& cache_format,
                       std::int64_t n_block, std::int64_t n_cached) {
  const auto block = static_cast<double>(n_block);
  const auto hidden = static_cast<double>(config.hidden_size);
  const auto projected = static_cast<double>((2 * config.n_heads + 2 * config.n_kv_heads) * config.head_dim);
  MemoryPlan plan;
  plan.weights = weight_bytes;
  const bool quantizes = cache_format.bits > 0;
  CacheFormat newest = cache_format;
  newest.bits = 0;
  const double entry = layer_bytes_per_token(config, cache_format);
  const double new_entry = layer_bytes_per_token(config, newest);
  // One layer holds the whole block before it drops what its window does not see, or quantizes it.
  if (quantizes || config.has_windows()) plan.cache += static_cast<double>(std::min(n_block, n_cached)) * new_entry;
  for (const LayerSpec& it : config.layers) {
    const std::int64_t held = entries_held(it, cache_format, n_cached);
    const std::int64_t n_new = quantizes ? std::min<std::int64_t>(held, cache_format.residual + kKVGroup) : 0;
    plan.cache += static_cast<double>(held - n_new) * entry + static_cast<double>(n_new) * new_entry;
  }
  // The residual stream, the projections and rotated queries, what was attended, and two runs' states to compare.
  plan.activations = block * 4.0 * (5.0 * hidden + projected + static_cast<double>(config.n_heads * config.head_dim)) +
                     64.0 * 4.0 * 2.0 * static_cast<double>(config.vocab_size);
  return plan;
}

void check_memory(const MemoryPlan& plan, double available) {
  if (plan.total() <= available) return;
  fail(
      "memory: the run needs about {} ({} weights, {} cache, {} activations), but {} are available; use fewer tokens, "
      "a smaller {}, a 2-byte {} or {} int8",
      format_bytes(plan.total()), format_bytes(plan.weights), format_bytes(plan.cache), format_bytes(plan.activations),
      format_bytes(available), setting("chunk_size"), setting("cache_dtype"), setting("weights"));
}

}  // namespace kvpress
