#include "ops/topk.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>

namespace kvpress {
namespace {

/// An integer that sorts as the score does, NaN above everything.
std::uint32_t sort_key(float score) {
  if (std::isnan(score)) return 0xffffffffu;
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0f);  // -0 becomes 0
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

}  // namespace

std::vector<std::int32_t> top_k(std::span<const float> scores, std::int64_t k) {
  const auto n = static_cast<std::int64_t>(scores.size());
  k = std::clamp<std::int64_t>(k, 0, n);
  std::vector<std::int32_t> kept;
  kept.reserve(static_cast<std::size_t>(k));
  if (k == n) {
    kept.resize(scores.size());
    std::iota(kept.begin(), kept.end(), 0);
    return kept;
  }
  if (k == 0) return kept;

  // The k-th largest key is the threshold: all above it are in, and the latest of those that equal it.
  std::vector<std::uint32_t> keys(scores.size());
  std::transform(scores.begin(), scores.end(), keys.begin(), sort_key);
  std::vector<std::uint32_t> work = keys;
  std::nth_element(work.begin(), work.begin() + (k - 1), work.end(), std::greater<>());
  const std::uint32_t threshold = work[k - 1];
  const auto above = std::count_if(keys.begin(), keys.end(), [&](std::uint32_t key) { return key > threshold; });
  const auto equal = std::count(keys.begin(), keys.end(), threshold);
  std::int64_t ties_to_drop = equal - (k - above);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t key = keys[i];
    if (key > threshold || (key == threshold && ties_to_drop-- <= 0)) kept.push_back(static_cast<std::int32_t>(i));
  }
  return kept;
}

}  // namespace kvpress
