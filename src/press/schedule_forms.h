// How schedules are written among presses: decoding(knorm), prefill_decoding(snapkv, knorm).
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "kvpress/press/parameters.h"
#include "kvpress/press/registry.h"

namespace kvpress {

/// A schedule's parameters, on their way to a NamedPress.
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
/// Null when there is none of this name.
const ScheduleForm* find_schedule_form(std::string_view name);

}  // namespace kvpress
