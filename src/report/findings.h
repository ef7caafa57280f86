// What the runs show, in words: which presses stay near the full cache at which ratio, which do not, where time falls.
#pragma once

#include <string>
#include <vector>

#include "kvpress/report/panels.h"

namespace kvpress {

/// Near the full cache: a perplexity at most so much higher (with the upper end of its interval), or a score at most so
/// much lower.
inline constexpr double kNear = 0.02;

struct Finding {
  std::string title;                   ///< the panel's
  std::vector<std::string> sentences;  ///< plain text; the first is the answer
};

/// One a panel. Of protocol `window` nothing is said of quality, since it cannot see it.
std::vector<Finding> findings_of(const std::vector<Panel>& panels);

}  // namespace kvpress
