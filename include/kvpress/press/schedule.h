// The schedule of compressions: after each block of the prefill, and every N decoded tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "kvpress/press/budget.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// Compression during decode, as written in the notation of presses: decoding(knorm, target_size=512). With neither
/// target_size nor ratio the budget of the run applies.
struct DecodingSchedule {
  std::shared_ptr<Press> press;
  std::int64_t compression_interval = 512;  ///< decoded tokens between compressions
  std::optional<std::int64_t> target_size;  ///< tokens per head
  std::optional<double> ratio;              ///< of the tokens seen
};

/// Presses and budgets of a run. The presses are not owned and must outlive the plan. A null press means that nothing
/// is compressed in that phase.
struct CompressionPlan {
  const Press* prefill = nullptr;
  Budget prefill_budget;
  const Press* decoding = nullptr;
  Budget decoding_budget;
  std::int64_t compression_interval = 0;
  std::string name = "(not named)";  ///< the presses as written, for errors
};

}  // namespace kvpress
