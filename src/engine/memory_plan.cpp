#include "kvpress/engine/memory_plan.h"

#include <algorithm>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/cache/kv_cache.h"

namespace kvpress {

MemoryPlan plan_memory(const ModelConfig& config, double weight_bytes, const CacheFormat& cache_format,
                       std::int64_t n_block, std::int64_t n_cached) {
  const auto block = static_cast<double>(n_block);
  const auto hidden = static_cast<double>(config.hidden_size);
  const auto projected = static_cast<double>((2 * config.n_heads + 2 * config.n_kv_heads) * config.head_dim);
  MemoryPlan plan;
  plan.weights = weight_bytes;
  const CacheShape shape{config.n_layers, config.n_kv_heads, config.head_dim, cache_format, false};
  const double layer_bytes =
      static_cast<double>(KVCache::bytes_per_token(shape)) / static_cast<double>(config.n_layers);
  for (const LayerSpec& it : config.layers) {
    // What a window has left behind waits to be dropped, no more than 63 entries of it.
    const std::int64_t held = it.window > 0 ? std::min(n_cached, it.window + 63) : n_cached;
    plan.cache += static_cast<double>(held) * layer_bytes;
  }
  // A layer holds the whole block before it drops what its window does not see.
  if (config.has_windows()) plan.cache += static_cast<double>(std::min(n_block, n_cached)) * layer_bytes;
  if (cache_format.bits > 0) {
    // Beside them the newest tokens, and a whole block of one layer before it is quantized.
    CacheShape newest = shape;
    newest.format.bits = 0;
    plan.cache +=
        static_cast<double>(KVCache::bytes_per_token(newest)) *
        (static_cast<double>(cache_format.residual + kKVGroup) + block / static_cast<double>(config.n_layers));
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
