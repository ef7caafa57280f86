// Which entries have the largest scores.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace kvpress {

/// The indices of the k largest scores, ascending. Among equal scores the later index wins (the more recent
/// token); NaN counts as largest, as in torch. O(n). k is clipped to the number of scores.
std::vector<std::int32_t> top_k(std::span<const float> scores, std::int64_t k);

}  // namespace kvpress
