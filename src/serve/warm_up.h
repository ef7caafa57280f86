// What the server holds beside caches, measured.
#pragma once

#include <cstddef>

#include "kvpress/model/model.h"
#include "serve/scheduler.h"

namespace kvpress::serve {

/// Runs the largest passes that the scheduler will run, so that products are compiled and scratch is there, and returns
/// the resident bytes of the process after it, with what threads and texts of connections may add.
std::size_t warm_up(const Model& model, const SchedulerSettings& settings);

}  // namespace kvpress::serve
