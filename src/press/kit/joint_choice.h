// Joint selection: all heads of a layer keep the same tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// Returns the entries to keep, ascending, for one row of scores.
using ChooseEntries = std::function<std::vector<std::int32_t>(std::span<const float> scores)>;

/// If all heads hold the same tokens, chooses once by the sum of their scores. Otherwise (after a press that left
/// different tokens) chooses for each head by its own scores.
Kept choose_jointly(const LayerView& layer, const Scores& scores, const ChooseEntries& choose);

}  // namespace kvpress
