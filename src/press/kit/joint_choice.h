// Heads that choose together, so that all of them keep the same tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// Which entries stay, ascending, by one row of scores.
using ChooseEntries = std::function<std::vector<std::int32_t>(std::span<const float> scores)>;

/// While all heads hold the same tokens: one choice for all of them, by the sum of their scores. After a press that
/// left them different tokens: each head's own choice, by its own scores.
Kept choose_jointly(const LayerView& layer, const Scores& scores, const ChooseEntries& choose);

}  // namespace kvpress
