// Schedules in the notation of presses: decoding(knorm), prefill_decoding(snapkv, knorm).
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "kvpress/press/parameters.h"
#include "kvpress/press/registry.h"

namespace kvpress {

/// The parameters of a schedule. named() makes the NamedPress.
class WrittenSchedule : public Parameterized {
 public:
  virtual NamedPress named() const = 0;
};

struct ScheduleForm {
  std::string_view name;
  std::string_view summary;
  std::unique_ptr<WrittenSchedule> (*make)();
};
std::span<const ScheduleForm> schedule_forms();
/// Null if there is no form of this name.
const ScheduleForm* find_schedule_form(std::string_view name);

}  // namespace kvpress
