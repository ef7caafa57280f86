// When presses run: once after the prefill, and again while decoding.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "kvpress/press/budget.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// Compressing again every so many decoded tokens, as it is written in a press's name: decoding(knorm,
/// target_size=512).
struct DecodingSchedule {
  std::shared_ptr<Press> press;
  std::int64_t compression_interval = 512;
  std::optional<std::int64_t> target_size;  ///< down to so many tokens, ...
  std::optional<double> ratio;              ///< ... or by this ratio of the tokens seen; neither: by the run's
};

/// What a run does. Presses are those of a NamedPress and must outlive the plan; null: nothing then.
struct CompressionPlan {
  const Press* prefill = nullptr;
  Budget prefill_budget;
  const Press* decoding = nullptr;
  Budget decoding_budget;
  std::int64_t compression_interval = 0;
};

}  // namespace kvpress
