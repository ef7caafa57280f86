// The findings of a report as sentences: which presses stay near the full cache at which ratio, and where time is
// saved.
#pragma once

#include <string>
#include <vector>

#include "report/pictures/panels.h"

namespace kvpress {

/// Near the full cache: a perplexity that is higher by at most this share, including the upper end of its interval, or
/// a score that is lower by at most this share.
inline constexpr double kNear = 0.02;

struct Finding {
  std::string title;                   ///< that of the panel
  std::vector<std::string> sentences;  ///< plain text; the first is the main result
};

/// One finding per panel. For protocol `window` there is no statement about quality, since it does not measure it.
std::vector<Finding> findings_of(const std::vector<Panel>& panels);

}  // namespace kvpress
